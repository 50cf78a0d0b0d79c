#include <algorithm>
#include <cstring>

#include "adder_conv2d/kernel.h"
#include "runtime/pool.h"

namespace octavo {
namespace {

constexpr double kDistancesPerMicrosecond = 2.5e4, kClipsPerMicrosecond = 1e4;
constexpr double kCodesPerMicrosecond = 1e5;
constexpr size_t kCodePixels = 48;  // a tile: at most kAdderPixels
constexpr size_t kChannelsOfTask = 4;

float* room_for(size_t n, int slot) {
  return reinterpret_cast<float*>(scratch(kAdderRoom(n) * sizeof(float), slot));
}

double work(const AdderCall& call) { return double(call.n) * call.g.patch() * call.g.pixels(); }

void take_border_off(const Geometry& g, const float* plane, float* to) {
  plane += g.padding_tall * g.padded_wide() + g.padding_wide;
  for (size_t row = 0; row < g.tall; ++row, plane += g.padded_wide(), to += g.wide) {
    std::memcpy(to, plane, g.wide * sizeof(float));
  }
}

// The image with its border, pixels of g.c codes side by side and zeros up to `channels`.
const uint8_t* border_codes(const AdderCodesCall& call, size_t image, size_t channels) {
  const Geometry& g = call.g;
  auto* to = reinterpret_cast<uint8_t*>(scratch(g.plane() * channels, 0));
  const uint8_t* from = call.x + image * g.tall * g.wide * g.c;
  const auto pixel = [&](size_t row, size_t column) {
    return to + (row * g.padded_wide() + column) * channels;
  };
  for (size_t row = 0; row < g.padded_tall(); ++row) {
    for (size_t column = 0; column < g.padded_wide(); ++column) {
      std::memset(pixel(row, column), call.zero, g.c);
      std::memset(pixel(row, column) + g.c, 0, channels - g.c);
    }
  }
  for (size_t row = 0; row < g.tall; ++row) {
    for (size_t column = 0; column < g.wide; ++column, from += g.c) {
      std::memcpy(pixel(row + g.padding_tall, column + g.padding_wide), from, g.c);
    }
  }
  return to;
}

// Pixels [first, first + count) of one image at every panel of filters.
void codes_tile(const AdderKernel& kernel, const AdderCodesCall& call, const uint8_t* image,
                const size_t* shifts, size_t channels, size_t first, size_t count, int32_t* out) {
  const Geometry& g = call.g;
  size_t starts[kAdderPixels];
  for (size_t i = 0; i < count; ++i) {
    const size_t row = (first + i) / g.out_wide, column = (first + i) % g.out_wide;
    starts[i] = (row * g.stride_tall * g.padded_wide() + column * g.stride_wide) * channels;
  }
  auto* sums = reinterpret_cast<int32_t*>(scratch(kAdderPixels * kAdderPanel * sizeof(int32_t), 2));
  const size_t positions = g.kernel_tall * g.kernel_wide;
  for (size_t n = 0; n < call.n; n += kAdderPanel) {
    const uint8_t* codes = call.codes + n * positions * channels;
    kernel.add_codes({image, codes, shifts, positions, channels, starts, count, sums});
    const size_t width = std::min(kAdderPanel, call.n - n);
    for (size_t i = 0; i < count; ++i) {
      int32_t* to = out + (first + i) * call.n + n;
      for (size_t f = 0; f < width; ++f) to[f] = -sums[i * kAdderPanel + f];
    }
  }
}

}  // namespace

void adder_conv2d_codes(const AdderKernel& kernel, const AdderCodesCall& call) {
  const Geometry& g = call.g;
  const size_t channels = (g.c + kAdderDeep - 1) / kAdderDeep * kAdderDeep;
  const size_t positions = g.kernel_tall * g.kernel_wide, pixels = g.pixels();
  auto* shifts = reinterpret_cast<size_t*>(scratch(positions * sizeof(size_t), 1));
  for (size_t p = 0; p < positions; ++p) shifts[p] = g.shift(p) * channels;
  const double work = double(call.n) * positions * channels * pixels / kCodesPerMicrosecond;
  const size_t tiles = (pixels + kCodePixels - 1) / kCodePixels;
  for (size_t b = 0; b < call.batch; ++b) {
    const uint8_t* image = border_codes(call, b, channels);
    parallel(call.threads, work, tiles, [&](size_t tile) {
      const size_t first = tile * kCodePixels, count = std::min(kCodePixels, pixels - first);
      codes_tile(kernel, call, image, shifts, channels, first, count, call.out + b * pixels * call.n);
    });
  }
}

void adder_conv2d(const AdderKernel& kernel, const AdderCall& call) {
  const Geometry& g = call.g;
  const size_t pixels = g.pixels(), tiles = (pixels + kAdderPixels - 1) / kAdderPixels;
  for (size_t b = 0; b < call.batch; ++b) {
    const float* image = pad_images(g, call.x + b * g.c * g.tall * g.wide, 1, 0, call.threads);
    parallel(call.threads, work(call) / kDistancesPerMicrosecond, tiles, [&](size_t tile) {
      const size_t first = tile * kAdderPixels;
      kernel.run({g, image, call.weight, call.n, call.bias, call.out + b * call.n * pixels, first,
                  std::min(kAdderPixels, pixels - first), room_for(call.n, 1)});
    });
  }
}

// A task owns some channels of one image, so that no two add to the same place.
void adder_conv2d_to_input(const AdderKernel& kernel, const AdderCall& call) {
  const Geometry& g = call.g;
  const size_t tasks = (g.c + kChannelsOfTask - 1) / kChannelsOfTask;
  for (size_t b = 0; b < call.batch; ++b) {
    const size_t from = b * g.c * g.tall * g.wide;
    const float* image = pad_images(g, call.x + from, 1, 0, call.threads);
    parallel(call.threads, work(call) / kClipsPerMicrosecond, tasks, [&](size_t task) {
      const size_t channel = task * kChannelsOfTask;
      const size_t channels = std::min(kChannelsOfTask, g.c - channel);
      auto* planes = reinterpret_cast<float*>(scratch(channels * g.plane() * sizeof(float), 2));
      std::memset(planes, 0, channels * g.plane() * sizeof(float));
      kernel.to_input({g, image, call.weight, call.n, call.grad + b * call.n * g.pixels(), channel,
                       channels, planes, room_for(call.n, 1)});
      for (size_t c = 0; c < channels; ++c) {
        take_border_off(g, planes + c * g.plane(),
                        call.out + from + (channel + c) * g.tall * g.wide);
      }
    });
  }
}

}  // namespace octavo
