#include "runtime/patches.h"

#include <cstring>

#include "runtime/pool.h"

namespace octavo {
namespace {

constexpr double kFloatsPerMicrosecond = 5e3;

// One channel of x with its zero border.
void pad_plane(const Geometry& g, const float* from, float* to) {
  const size_t wide = g.padded_wide(), above = g.padding_tall * wide, size = g.tall * g.wide;
  if (wide == g.wide) {
    std::memset(to, 0, above * sizeof(float));
    std::memcpy(to + above, from, size * sizeof(float));
    std::memset(to + above + size, 0, (g.plane() - above - size) * sizeof(float));
    return;
  }
  std::memset(to, 0, g.plane() * sizeof(float));
  to += above + g.padding_wide;
  for (size_t row = 0; row < g.tall; ++row) {
    std::memcpy(to + row * wide, from + row * g.wide, g.wide * sizeof(float));
  }
}

// One patch; WIDE is the kernel's width when it is known, else 0.
template <size_t WIDE>
void copy_patch(const Geometry& g, const float* corner, float* to) {
  const size_t across = WIDE ? WIDE : g.kernel_wide;
  for (size_t c = 0; c < g.c; ++c, corner += g.plane()) {
    const float* from = corner;
    for (size_t i = 0; i < g.kernel_tall; ++i, from += g.dilation_tall * g.padded_wide()) {
      for (size_t j = 0; j < across; ++j) *to++ = from[j * g.dilation_wide];
    }
  }
}

}  // namespace

const float* pad_images(const Geometry& g, const float* x, size_t count, int slot, int threads) {
  const size_t planes = count * g.c, plane = g.plane();
  const size_t room = (planes * plane + 2 * kSlack) * sizeof(float);
  auto* images = reinterpret_cast<float*>(scratch(room, slot)) + kSlack;
  std::memset(images - kSlack, 0, kSlack * sizeof(float));
  std::memset(images + planes * plane, 0, kSlack * sizeof(float));
  parallel(threads, planes * plane / kFloatsPerMicrosecond, planes, [&](size_t p) {
    pad_plane(g, x + p * g.tall * g.wide, images + p * plane);
  });
  return images;
}

void patch_rows(const Geometry& g, const float* images, size_t first, size_t rows, float* to) {
  const auto copy = g.kernel_wide == 3 ? copy_patch<3> : copy_patch<0>;
  for (size_t pixel = first; pixel < first + rows; ++pixel, to += g.patch()) {
    const size_t image = pixel / g.pixels(), at = pixel % g.pixels();
    const size_t row = at / g.out_wide * g.stride_tall, column = at % g.out_wide * g.stride_wide;
    copy(g, images + image * g.c * g.plane() + row * g.padded_wide() + column, to);
  }
}

}  // namespace octavo
