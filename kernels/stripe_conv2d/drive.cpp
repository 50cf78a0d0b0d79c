#include <algorithm>

#include "runtime/pool.h"
#include "stripe_conv2d/kernel.h"

namespace octavo {
namespace {

constexpr double kProductsPerMicrosecond = 4.5e4;

bool in_a_row(const Geometry& g) {
  return g.stride_tall == 1 && g.stride_wide == 1 && g.out_wide == g.wide &&
         g.padding_wide <= kSlack / 2;
}

}  // namespace

void stripe_conv2d(const StripeKernel& kernel, const Geometry& g, const Stripes& stripes,
                   const float* x, size_t batch, float* out, int threads) {
  const size_t pixels = g.pixels(), tiles = (pixels + kPixels - 1) / kPixels;
  const size_t kept = stripes.starts[g.kernel_tall * g.kernel_wide];
  const size_t room = kRoom(stripes.n) * sizeof(float);
  const bool straight = in_a_row(g);
  Geometry held = g;
  if (straight) held.padding_wide = 0;
  for (size_t b = 0; b < batch; ++b) {
    const float* image = pad_images(held, x + b * g.c * g.tall * g.wide, 1, 0, threads);
    const double cost = double(kept) * g.c * pixels / kProductsPerMicrosecond;
    parallel(threads, cost, tiles, [&](size_t tile) {
      const size_t first = tile * kPixels;
      kernel.run({held, stripes, image, out + b * stripes.n * pixels, first,
                  std::min(kPixels, pixels - first), straight,
                  ptrdiff_t(g.padding_wide),
                  reinterpret_cast<float*>(scratch(room, 1))});
    });
  }
}

}  // namespace octavo
