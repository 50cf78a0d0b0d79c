#include "stripe_conv2d/kernel.h"

#include "convolution.h"

OCTAVO_KERNEL(octavo::StripeKernel, stripe_conv2d)

static void run(const octavo::StripeKernel& kernel, Case& c) {
  octavo::Geometry g = geometry(c, 70);
  if (c.chance(2)) keep_width(g);
  const size_t batch = c.size(1, 2), n = c.size(1, 20);
  std::vector<int32_t> filters, starts = {0};
  for (size_t position = 0; position < g.kernel_tall * g.kernel_wide; ++position) {
    for (size_t filter = 0; filter < n; ++filter) {
      if (c.chance(2)) filters.push_back(int32_t(filter));
    }
    starts.push_back(int32_t(filters.size()));
  }
  const float *x = c.floats(batch * input_size(g)), *values = c.floats(filters.size() * g.c);
  const float* bias = c.chance(2) ? c.floats(n) : nullptr;
  const octavo::Stripes stripes = {n, values, c.copy(filters), c.copy(starts), bias};
  float* out = c.answer<float>(batch * n * g.pixels(), 1e-5);
  octavo::stripe_conv2d(kernel, g, stripes, x, batch, out, c.threads);
}

OCTAVO_CHECK(stripe_conv2d, run)
