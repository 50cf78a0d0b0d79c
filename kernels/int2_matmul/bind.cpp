#include "runtime/bind_integer.h"

namespace nb = nanobind;

OCTAVO_VNNI_KERNEL(octavo::IntegerKernel, int2_matmul)

namespace octavo {
namespace {

IntegerKind kind() { return {int2_matmul_in_use(), 16, 4}; }

void call(nb::handle x, nb::handle codes, nb::handle scales, nb::handle bias, nb::handle out,
          size_t group, int threads) {
  multiply_into(kind(), view(x, 'f', 4),
                integer_weight(codes, scales, bias, group), view(out, 'f', 4), threads);
}

void run(const Operands& o) { multiply_rows(kind(), o, o.sizes[2]); }

constexpr Product kProduct = {"int2_matmul", 2, {{'u', 1}, {'f', 4}}, 3, false, run};

}  // namespace

void bind_int2_matmul(nb::module_& m) {
  const nb::arg must;
  bind_product<kProduct>(m);
  m.def("int2_matmul", call, must, must, must, nb::arg().none(), must, must, must);
}

}  // namespace octavo
