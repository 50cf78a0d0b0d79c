#include <algorithm>
#include <cstring>

#include "adder_conv2d/kernel.h"
#include "runtime/pool.h"

namespace octavo {
namespace {

constexpr double kDistancesPerMicrosecond = 2.5e4, kClipsPerMicrosecond = 1e4;
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

}  // namespace

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
