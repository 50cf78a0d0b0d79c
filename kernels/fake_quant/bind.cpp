#include "fake_quant/kernel.h"
#include "runtime/bind.h"

namespace nb = nanobind;

OCTAVO_KERNEL(octavo::FakeQuantKernel, fake_quant)

namespace octavo {
namespace {

FakeQuantCall call_of(const View& x, const View& scale, const View& y, size_t inner, int low,
                      int high, int threads) {
  const size_t channels = scale.count();
  check(x.count() == y.count(), "x and y differ in size");
  check(channels && inner && x.count() % int64_t(channels * inner) == 0, "scale does not fit x");
  return {x.as<float>(), nullptr, scale.as<float>(), y.as<float>(), nullptr,
          x.count() / (channels * inner), channels, inner, float(low), float(high), threads};
}

// False: a scale is not positive, and nothing is written.
bool positive(const View& scale) {
  for (int64_t i = 0; i < scale.count(); ++i) {
    if (!(scale.as<float>()[i] > 0)) return false;
  }
  return true;
}

bool forward(nb::handle x_, nb::handle scale_, nb::handle y_, size_t inner, int low, int high,
             int threads) {
  const View x = view(x_, 'f', 4), scale = view(scale_, 'f', 4), y = view(y_, 'f', 4);
  if (!positive(scale)) return false;
  const FakeQuantCall call = call_of(x, scale, y, inner, low, high, threads);
  nb::gil_scoped_release free;
  fake_quant(fake_quant_in_use(), call);
  return true;
}

bool backward(nb::handle grad_, nb::handle x_, nb::handle scale_, nb::handle to_x_,
              nb::handle to_scale_, size_t inner, int low, int high, int threads) {
  const View x = view(x_, 'f', 4), scale = view(scale_, 'f', 4), to_x = view(to_x_, 'f', 4);
  const View grad = view(grad_, 'f', 4), to_scale = view(to_scale_, 'f', 4);
  if (!positive(scale)) return false;
  FakeQuantCall call = call_of(x, scale, to_x, inner, low, high, threads);
  check(grad.count() == x.count(), "grad and x differ in size");
  check(to_scale.count() == scale.count(), "the gradient of scale does not fit it");
  call.grad = grad.as<float>();
  call.to_scale = to_scale.as<float>();
  nb::gil_scoped_release free;
  fake_quant_backward(fake_quant_in_use(), call);
  return true;
}

}  // namespace

void bind_fake_quant(nb::module_& m) {
  m.def("fake_quant", forward);
  m.def("fake_quant_backward", backward);
}

}  // namespace octavo
