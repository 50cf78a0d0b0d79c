// One tile of output pixels of stripe_conv2d, all filters.
#pragma once
#include <cstddef>
#include <cstdint>

namespace octavo {

constexpr size_t kPixels = 64;     // a tile of output pixels
constexpr size_t kChannels = 64;   // channels of a tile of input: 16 KiB, half the first-level cache
constexpr size_t kFilters = 6;     // filters of a packed group
constexpr size_t kSlack = 64;      // floats that may be read past the padded image

struct StripeTile {
  const float* image;        // [c][tall][wide], padded, kSlack floats after the last
  size_t n, c, tall, wide;
  size_t kernel_tall, kernel_wide, stride_tall, stride_wide, dilation_tall, dilation_wide;
  const float* values;
  const int32_t *filters, *starts;
  const float* bias;         // (n,) or null
  float* out;                // [n][pixels]
  size_t out_wide, pixels;
  size_t first, count;       // the tile's pixels, at most kPixels
  float* room;               // kChannels * kPixels + n * kPixels + kSlack floats, 64-byte aligned
};

struct StripeKernel {
  void (*run)(const StripeTile&);
};

struct StripeCall {
  const float* x;
  size_t batch, n, c, tall, wide, kernel_tall, kernel_wide;
  size_t stride_tall, stride_wide, padding_tall, padding_wide, dilation_tall, dilation_wide;
  size_t out_tall, out_wide;
  const float* values;
  const int32_t *filters, *starts;
  const float* bias;
  float* out;
  int threads;
};

// out (batch, n, out_tall, out_wide) = x (batch, c, tall, wide) convolved with the kept stripes.
void stripe_conv2d(const StripeKernel& kernel, const StripeCall& call);

}  // namespace octavo
