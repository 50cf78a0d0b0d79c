// Geometry of a convolution, and its input as patches.
#pragma once
#include <cstddef>

namespace octavo {

constexpr size_t kSlack = 64;  // floats that may be read before and past padded images

struct Geometry {
  size_t c, tall, wide;                // the input
  size_t kernel_tall, kernel_wide;
  size_t stride_tall, stride_wide, padding_tall, padding_wide, dilation_tall, dilation_wide;
  size_t out_tall, out_wide;

  size_t padded_tall() const { return tall + 2 * padding_tall; }
  size_t padded_wide() const { return wide + 2 * padding_wide; }
  // An odd number of cache lines, so that many channels of a pixel fall on all sets of a cache.
  size_t plane() const { return ((padded_tall() * padded_wide() + 15) / 16 | 1) * 16; }
  size_t pixels() const { return out_tall * out_wide; }
  size_t patch() const { return c * kernel_tall * kernel_wide; }
  // Where position p of the kernel starts in a padded plane.
  size_t shift(size_t p) const {
    return p / kernel_wide * dilation_tall * padded_wide() + p % kernel_wide * dilation_wide;
  }
};

// Copy images (count, c, tall, wide) with their zero borders to memory of this thread's `slot`:
// (count, c) planes [padded tall][padded wide], kSlack zeros before the first and after the last.
const float* pad_images(const Geometry& g, const float* x, size_t count, int slot, int threads);

// Patches (rows, c, kernel_tall, kernel_wide) of output pixels first, first + 1, … of all images.
void patch_rows(const Geometry& g, const float* images, size_t first, size_t rows, float* to);

}  // namespace octavo
