#include "runtime/bind_integer.h"

namespace nb = nanobind;

OCTAVO_VNNI_KERNEL(octavo::IntegerKernel, int8_matmul)

namespace octavo {
namespace {

void call(nb::handle x, nb::handle codes, nb::handle scales, nb::handle bias, nb::handle out,
          int threads) {
  multiply_rows({int8_matmul_in_use(), 4, 1}, view(x, 'f', 4),
                integer_weight(codes, scales, bias, 0), view(out, 'f', 4), threads);
}

}  // namespace

void bind_int8_matmul(nb::module_& m) {
  const nb::arg must;
  m.def("int8_matmul", call, must, must, must, nb::arg().none(), must, must);
}

}  // namespace octavo
