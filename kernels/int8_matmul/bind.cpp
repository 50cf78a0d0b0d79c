#include "runtime/bind_geometry.h"
#include "runtime/bind_integer.h"

namespace nb = nanobind;

OCTAVO_VNNI_KERNEL(octavo::IntegerKernel, int8_matmul)

namespace octavo {
namespace {

IntegerKind kind() { return {int8_matmul_in_use(), 4, 1}; }

IntegerWeight weight(nb::handle codes, nb::handle scales, nb::handle bias, nb::handle step) {
  IntegerWeight w = integer_weight(codes, scales, bias, 0);
  if (step.is_none()) return w;
  const View held = view(step, 'f', 4);
  check(step_fits(held), "step is not one positive float32");
  w.step = *held.as<float>();
  return w;
}

void call(nb::handle x, nb::handle codes, nb::handle scales, nb::handle bias, nb::handle out,
          nb::handle step, int threads) {
  multiply_into(kind(), view(x, 'f', 4), weight(codes, scales, bias, step), view(out, 'f', 4),
                threads);
}

// out is (batch, out_tall, out_wide, n).
void convolve(nb::handle x_, nb::handle codes, nb::handle scales, nb::handle bias, nb::handle out_,
              nb::handle step, const ConvolutionSizes& sizes, int threads) {
  const View x = view(x_, 'f', 4), out = view(out_, 'f', 4);
  const IntegerWeight w = weight(codes, scales, bias, step);
  if (!out.count()) return;
  const Geometry g = geometry(x, out, true, sizes);
  nb::gil_scoped_release free;
  const float* images = pad_images(g, x.as<float>(), x.shape[0], 2, threads);
  multiply(kind(), images, &g, x.shape[0] * g.pixels(), g.patch(), w, out, threads);
}

void run(const Operands& o) { multiply_rows(kind(), o, 0); }

constexpr Product kProduct = {"int8_matmul", 2, {{'u', 1}, {'f', 4}}, 2, true, run};

}  // namespace

void bind_int8_matmul(nb::module_& m) {
  const nb::arg must;
  const auto maybe = nb::arg().none();
  bind_product<kProduct>(m);
  m.def("int8_matmul", call, must, must, must, maybe, must, maybe, must);
  m.def("int8_conv2d", convolve, must, must, must, maybe, must, maybe, must, must);
}

}  // namespace octavo
