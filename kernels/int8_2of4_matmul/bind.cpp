#include "int8_2of4_matmul/kernel.h"
#include "runtime/bind.h"

namespace nb = nanobind;

OCTAVO_VNNI_KERNEL(octavo::IntegerKernel, int8_2of4_matmul)

namespace octavo {
namespace {

// out (m, n) = x (m, k) times the packed weight, plus bias; without Python's lock.
void run(const Operands& o) {
  const size_t step = two_of_four::kInputs, padded = (o.k() + step - 1) / step * step;
  const size_t panels = (o.n() + kColumns - 1) / kColumns, bytes = two_of_four::panel_bytes(padded);
  const View &codes = o.tables[0], &scales = o.tables[1];
  check(o.x.count() == int64_t(o.rows() * o.k()), "x and out differ in rows");
  check(codes.count() == int64_t(panels * bytes), "codes do not fit x and out");
  check(scales.count() == int64_t(panels * kColumns), "scales do not fit out");
  check(!o.bias.data || o.bias.count() == int64_t(o.n()), "bias does not fit out");
  integer_matmul(int8_2of4_matmul_in_use(),
                 {o.x.as<float>(), nullptr, o.rows(), o.k(), o.n(), padded, padded, 1, bytes,
                  codes.as<uint8_t>(), scales.as<float>(), o.bias.as<float>(), o.out.as<float>(),
                  o.threads});
}

constexpr Product kProduct = {"int8_2of4_matmul", 2, {{'u', 1}, {'f', 4}}, 2, false, run};

// The same from Python, into a tensor that is there.
void call(nb::handle x_, nb::handle codes, nb::handle scales, nb::handle bias, nb::handle out_,
          int threads) {
  const View x = view(x_, 'f', 4), out = view(out_, 'f', 4);
  Operands o = {x, view(bias, 'f', 4), out, {}, {view(codes, 'u', 1), view(scales, 'f', 4)}};
  if (!out.count()) return;
  o.sizes[0] = out.last(), o.sizes[1] = x.last(), o.threads = threads;
  nb::gil_scoped_release free;
  run(o);
}

}  // namespace

void bind_int8_2of4_matmul(nb::module_& m) {
  const nb::arg must;
  bind_product<kProduct>(m);
  m.def("int8_2of4_matmul", call, must, must, must, nb::arg().none(), must, must);
}

}  // namespace octavo
