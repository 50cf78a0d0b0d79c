// What the checks of the integer products share.
#pragma once
#include <algorithm>

#include "convolution.h"
#include "runtime/integer.h"

struct IntegerFormat {
  size_t step, per_byte;  // inputs of a packed step, codes a byte
  bool grouped;
};

// Rows of whole numbers whose groups each hold a 127: the activations' step is 1, codes are the
// numbers themselves, and the answers are the integer sums, exact. Else any floats.
inline const float* activations(Case& c, bool exact, size_t m, size_t k, size_t group) {
  if (!exact) return c.floats(m * k);
  float* x = c.whole_floats(m * k, 127);
  for (size_t row = 0; row < m; ++row) {
    for (size_t at = 0; at < k; at += group) x[row * k + at] = c.chance(2) ? 127 : -127;
  }
  return x;
}

inline void check_integer(const octavo::IntegerKernel& kernel, Case& c, IntegerFormat format) {
  const bool patches = c.chance(4), exact = !patches && c.chance(2);
  const octavo::Geometry g = geometry(c, 9);
  const size_t images = c.size(1, 2);
  const size_t m = patches ? images * g.pixels() : c.size(1, 70);
  const size_t k = patches ? g.patch() : c.size(1, 300), n = c.size(1, 140);
  const size_t padded = (k + format.step - 1) / format.step * format.step;
  const size_t group = format.grouped && c.chance(2) ? format.step * c.size(1, 9) : padded;
  const size_t groups = (k + group - 1) / group, panels = (n + 63) / 64;
  const size_t panel_bytes = padded * 64 / format.per_byte;
  const float* x = patches ? c.floats(images * input_size(g)) : activations(c, exact, m, k, group);
  const auto* codes = c.integers<uint8_t>(panels * panel_bytes, 0, 255);
  float* scales = c.floats(panels * groups * 64);
  if (exact) std::fill(scales, scales + panels * groups * 64, 0.5f);
  const float* bias = c.chance(2) ? (exact ? c.whole_floats(n, 9) : c.floats(n)) : nullptr;
  float* out = c.answer<float>(m * n, exact || groups == 1 ? 0 : 1e-6);
  const float step = groups > 1 || c.chance(2) ? 0 : exact ? 1 : 0.01f;
  const float* rows = patches ? octavo::pad_images(g, x, images, 2, c.threads) : x;
  octavo::integer_matmul(kernel, {rows, patches ? &g : nullptr, m, k, n, padded, group, groups,
                                  panel_bytes, codes, scales, bias, out, c.threads, step});
}
