// One tile of output pixels of stripe_conv2d, all filters.
#pragma once
#include <cstddef>
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

// Where the answer is as wide as the input and no step is wider than one, the pixels of a tile stand
// in a row in the input as well, so that it is read where it stands: its planes have no border left
// and right, and lanes that meet the next row instead of the border count as zero.
struct StripeTile {
  const Geometry& g;               // in a row: with padding_wide 0
  const Stripes& stripes;
  const float* image;              // [c] planes [padded tall][padded wide]
  float* out;                      // [n][pixels]
  size_t first, count;             // the tile's pixels, at most kPixels
  bool in_a_row;
  ptrdiff_t border;                // in a row: padding_wide as it was given
  float* room;                     // kRoom(n) floats, 64-byte aligned
};

constexpr size_t kRoom(size_t n) { return (kChannels + n + 2) * kPixels + kSlack; }

struct StripeKernel {
  void (*run)(const StripeTile&);
};

// out (batch, n, out_tall, out_wide) = x (batch, c, tall, wide) convolved with the kept stripes.
void stripe_conv2d(const StripeKernel& kernel, const Geometry& g, const Stripes& stripes,
                   const float* x, size_t batch, float* out, int threads);

}  // namespace octavo
