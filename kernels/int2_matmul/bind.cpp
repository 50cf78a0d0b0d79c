#include "runtime/bind_integer.h"

namespace nb = nanobind;

OCTAVO_VNNI_KERNEL(octavo::IntegerKernel, int2_matmul)

namespace octavo {
namespace {

void call(nb::handle x, nb::handle codes, nb::handle scales, nb::handle bias, nb::handle out,
          size_t group, int threads) {
  multiply_rows({int2_matmul_in_use(), 16, 4}, view(x, 'f', 4),
                integer_weight(codes, scales, bias, group), view(out, 'f', 4), threads);
}

nb::object eager(nb::handle x, nb::handle bias, nb::handle codes, nb::handle scales, size_t n,
                 size_t k, size_t group) {
  nb::object out = short_answer(x, bias, n, k);
  if (!out.is_none()) call(x, codes, scales, bias, out, group, threads_of_torch());
  return out;
}

}  // namespace

void bind_int2_matmul(nb::module_& m) {
  const nb::arg must;
  m.def("int2_matmul_eager", eager, must, nb::arg().none(), must, must, must, must, must);
  m.def("int2_matmul", call, must, must, must, nb::arg().none(), must, must, must);
}

}  // namespace octavo
