// One tile of output pixels of stripe_conv2d, all filters.
#pragma once
#include <cstdint>

#include "runtime/patches.h"

namespace octavo {

constexpr size_t kPixels = 64;     // a tile of output pixels
constexpr size_t kChannels = 64;   // channels of a tile of input: 16 KiB, half the first-level cache
constexpr size_t kFilters = 6;     // filters of a packed group

struct Stripes {
  size_t n;
  const float* values;
  const int32_t *filters, *starts;
  const float* bias;               // (n,) or null
};

struct StripeTile {
  const Geometry& g;
  const Stripes& stripes;
  const float* image;              // [c][padded tall][padded wide]
  float* out;                      // [n][pixels]
  size_t first, count;             // the tile's pixels, at most kPixels
  float* room;                     // (kChannels + n) * kPixels + kSlack floats, 64-byte aligned
};

struct StripeKernel {
  void (*run)(const StripeTile&);
};

// out (batch, n, out_tall, out_wide) = x (batch, c, tall, wide) convolved with the kept stripes.
void stripe_conv2d(const StripeKernel& kernel, const Geometry& g, const Stripes& stripes,
                   const float* x, size_t batch, float* out, int threads);

}  // namespace octavo
