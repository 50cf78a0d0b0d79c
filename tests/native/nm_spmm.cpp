#include "nm_spmm/kernel.h"

#include "convolution.h"

OCTAVO_KERNEL(octavo::NmKernel, nm_spmm)

namespace {

// Each weight has its own input: some of each 4, 8 or 16.
octavo::Nm own(Case& c, size_t n, size_t k, const float* bias) {
  const size_t group = size_t{4} << c.size(0, 2), kept = c.size(1, group);
  octavo::Nm w = {n, k, kept, group, nullptr, nullptr, nullptr, nullptr, bias};
  w.values = c.floats(w.panels() * w.slots() * octavo::kPanel);
  const size_t words = w.panels() * w.words_in_panel() * octavo::kPanel;
  auto* places = c.integers<int32_t>(words, INT32_MIN, INT32_MAX);
  for (size_t i = 0; group == 8 && i < words; ++i) places[i] &= 0x77777777;  // below 8 each
  w.words = places;
  return w;
}

// Sixteen outputs share their inputs.
octavo::Nm shared(Case& c, size_t n, size_t k, const float* bias) {
  octavo::Nm w = {n, k, 0, 0, nullptr, nullptr, nullptr, nullptr, bias};
  std::vector<int16_t> columns;
  std::vector<int32_t> starts;
  for (size_t b = 0; b < w.blocks(); ++b) {
    for (size_t panel = 0; panel < w.panels(); ++panel) {
      starts.push_back(int32_t(columns.size()));
      for (size_t i = 0; i < octavo::kSharedBlock && b * octavo::kSharedBlock + i < k; ++i) {
        if (c.chance(3)) columns.push_back(int16_t(i));
      }
    }
    starts.push_back(int32_t(columns.size()));
  }
  w.values = c.floats(columns.size() * octavo::kPanel);
  w.columns = c.copy(columns);
  w.starts = c.copy(starts);
  return w;
}

void run(const octavo::NmKernel& kernel, Case& c) {
  const bool few = c.chance(2);
  const size_t m = few ? c.size(1, 8) : c.size(9, 140), k = c.size(1, c.chance(5) ? 1100 : 300);
  const size_t n = c.size(1, 50);
  const auto weight = c.chance(2) ? own : shared;
  const float *x = c.floats(m * k), *bias = c.chance(2) ? c.floats(n) : nullptr;
  const octavo::Nm w = weight(c, n, k, bias);
  octavo::nm_spmm(kernel, w, x, m, c.answer<float>(m * n, 1e-5), c.threads);

  const octavo::Geometry g = geometry(c, 20);
  const octavo::Nm filters = weight(c, n, g.patch(), bias);
  const float* images = c.floats(2 * input_size(g));
  float* out = c.answer<float>(2 * n * g.pixels(), 1e-5);
  octavo::nm_conv2d(kernel, filters, g, images, 2, out, c.threads);
}

}  // namespace

OCTAVO_CHECK(nm_spmm, run)
