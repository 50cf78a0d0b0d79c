#include "adder_conv2d/kernel.h"

#include "convolution.h"

OCTAVO_KERNEL(octavo::AdderKernel, adder_conv2d)

static void run(const octavo::AdderKernel& kernel, Case& c) {
  const octavo::Geometry g = geometry(c, 20);
  const size_t batch = c.size(1, 2), n = c.size(1, 40);
  const float *x = c.floats(batch * input_size(g)), *weight = c.floats(n * g.patch());
  const float* bias = c.chance(2) ? c.floats(n) : nullptr;
  const float* grad = c.floats(batch * n * g.pixels());
  float* out = c.answer<float>(batch * n * g.pixels(), 1e-6);
  octavo::adder_conv2d(kernel, {g, x, weight, bias, nullptr, batch, n, out, c.threads});
  float* to_x = c.answer<float>(batch * input_size(g), 1e-5);
  octavo::adder_conv2d_to_input(kernel, {g, x, weight, nullptr, grad, batch, n, to_x, c.threads});

  const size_t channels = (g.c + 7) / 8 * 8, filters = (n + 31) / 32 * 32;
  const auto* bytes = c.integers<uint8_t>(batch * input_size(g), 0, 255);
  const auto* codes = c.integers<uint8_t>(filters * channels * g.kernel_tall * g.kernel_wide, 0, 255);
  auto* sums = c.answer<int32_t>(batch * n * g.pixels());
  octavo::adder_conv2d_codes(kernel, {g, bytes, codes, batch, n, 128, sums, c.threads});
}

OCTAVO_CHECK(adder_conv2d, run)
