#include <cfloat>

#include "runtime/bind_geometry.h"
#include "runtime/bind_integer.h"

namespace nb = nanobind;

OCTAVO_VNNI_KERNEL(octavo::IntegerKernel, int8_matmul)

namespace octavo {
namespace {

IntegerKind kind() { return {int8_matmul_in_use(), 4, 1}; }

// The step of the activations; 0 for None. False where it is no step: one float32, not below the
// smallest normal number, finite.
bool step_fits(nb::handle given, float* step) {
  View held;
  *step = 0;
  if (given.is_none()) return true;
  if (!fits(given, 'f', 4, &held) || held.count() != 1) return false;
  *step = *held.as<float>();
  return *step >= FLT_MIN && *step <= FLT_MAX;
}

IntegerWeight weight(nb::handle codes, nb::handle scales, nb::handle bias, nb::handle step) {
  IntegerWeight w = integer_weight(codes, scales, bias, 0);
  check(step_fits(step, &w.step), "step is not one positive float32");
  return w;
}

void call(nb::handle x, nb::handle codes, nb::handle scales, nb::handle bias, nb::handle out,
          nb::handle step, int threads) {
  multiply_rows(kind(), view(x, 'f', 4), weight(codes, scales, bias, step), view(out, 'f', 4),
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

nb::object eager(nb::handle x, nb::handle bias, nb::handle codes, nb::handle scales, size_t n,
                 size_t k, nb::handle step) {
  float known;
  if (!step.is_none() && !plain(step)) return nb::none();
  if (!step_fits(step, &known)) return nb::none();
  nb::object out = short_answer(x, bias, n, k);
  if (!out.is_none()) call(x, codes, scales, bias, out, step, threads_of_torch());
  return out;
}

}  // namespace

void bind_int8_matmul(nb::module_& m) {
  const nb::arg must;
  const auto maybe = nb::arg().none();
  m.def("int8_matmul_eager", eager, must, maybe, must, must, must, must, nb::arg() = nb::none());
  m.def("int8_matmul", call, must, must, must, maybe, must, maybe, must);
  m.def("int8_conv2d", convolve, must, must, must, maybe, must, maybe, must, must);
}

}  // namespace octavo
