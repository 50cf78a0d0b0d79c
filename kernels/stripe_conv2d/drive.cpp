#include <algorithm>
#include <cstring>

#include "runtime/pool.h"
#include "stripe_conv2d/kernel.h"

namespace octavo {
namespace {

constexpr double kProductsPerMicrosecond = 4.5e4, kFloatsPerMicrosecond = 5e3;

// One channel of x with its zero border.
void pad(const StripeCall& call, const float* from, size_t wide, float* to, size_t tall) {
  std::memset(to, 0, tall * wide * sizeof(float));
  to += call.padding_tall * wide + call.padding_wide;
  for (size_t row = 0; row < call.tall; ++row) {
    std::memcpy(to + row * wide, from + row * call.wide, call.wide * sizeof(float));
  }
}

}  // namespace

void stripe_conv2d(const StripeKernel& kernel, const StripeCall& call) {
  const size_t tall = call.tall + 2 * call.padding_tall, wide = call.wide + 2 * call.padding_wide;
  const size_t pixels = call.out_tall * call.out_wide, plane = tall * wide;
  const size_t tiles = (pixels + kPixels - 1) / kPixels;
  const size_t kept = call.starts[call.kernel_tall * call.kernel_wide];
  auto* image = reinterpret_cast<float*>(scratch((call.c * plane + kSlack) * sizeof(float)));
  std::memset(image + call.c * plane, 0, kSlack * sizeof(float));
  for (size_t b = 0; b < call.batch; ++b) {
    const float* x = call.x + b * call.c * call.tall * call.wide;
    parallel(call.threads, call.c * plane / kFloatsPerMicrosecond, call.c, [&](size_t c) {
      pad(call, x + c * call.tall * call.wide, wide, image + c * plane, tall);
    });
    const double cost = double(kept) * call.c * pixels / kProductsPerMicrosecond;
    parallel(call.threads, cost, tiles, [&](size_t tile) {
      const size_t room = (kChannels + call.n) * kPixels + kSlack;
      kernel.run({image, call.n, call.c, tall, wide, call.kernel_tall, call.kernel_wide,
                  call.stride_tall, call.stride_wide, call.dilation_tall, call.dilation_wide,
                  call.values, call.filters, call.starts, call.bias, call.out + b * call.n * pixels,
                  call.out_wide, pixels, tile * kPixels, std::min(kPixels, pixels - tile * kPixels),
                  reinterpret_cast<float*>(scratch(room * sizeof(float), 1))});
    });
  }
}

}  // namespace octavo
