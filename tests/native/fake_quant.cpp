#include "fake_quant/kernel.h"

#include "native.h"

OCTAVO_KERNEL(octavo::FakeQuantKernel, fake_quant)

static void run(const octavo::FakeQuantKernel& kernel, Case& c) {
  const size_t outer = c.size(1, 5), inner = c.chance(3) ? 1 : c.size(1, 600);
  const size_t channels = c.seed ? c.size(1, 33) : (size_t{5} << 20) / (outer * inner * 4);
  const size_t n = outer * channels * inner;
  const float *x = c.floats(n), *grad = c.floats(n);
  float* scale = c.floats(channels);
  for (size_t i = 0; i < channels; ++i) scale[i] = scale[i] * scale[i] + 0.01f;
  octavo::FakeQuantCall call = {x, nullptr, scale, c.answer<float>(n), nullptr,
                                outer, channels, inner, -8, 7, c.threads};
  octavo::fake_quant(kernel, call);
  call.grad = grad, call.y = c.answer<float>(n), call.to_scale = c.answer<float>(channels, 1e-5);
  octavo::fake_quant_backward(kernel, call);
}

OCTAVO_CHECK(fake_quant, run)
