#include <algorithm>
#include <cstring>

#include "nm_spmm/kernel.h"
#include "runtime/pool.h"

namespace octavo {
namespace {

constexpr size_t kOutputs = 4096;  // a chunk of outputs
constexpr double kProductsPerMicrosecond = 4e4, kWeightsPerMicrosecond = 8e3;

double weights(const Nm& w) {
  return double(kPanel) * (w.kept ? w.panels() * w.slots() : w.columns_in_all());
}

// Floats that a tile of `width` rows and its sums for `outputs` need.
size_t room(const Nm& w, size_t width, size_t outputs) {
  const size_t block = w.kept ? 128 : kSharedBlock;
  return (block + (outputs + kPanel - 1) / kPanel * kPanel) * width + kSlack;
}

// x with rows padded to whole groups, where it must be: rows and the floats between them.
const float* whole_groups(const Nm& w, const float* x, size_t m, size_t* stride) {
  *stride = w.k;
  if (!w.kept || w.k % w.group == 0) return x;
  *stride = (w.k + w.group - 1) / w.group * w.group;
  auto* padded = reinterpret_cast<float*>(scratch(m * *stride * sizeof(float)));
  for (size_t r = 0; r < m; ++r) {
    std::memcpy(padded + r * *stride, x + r * w.k, w.k * sizeof(float));
    std::memset(padded + r * *stride + w.k, 0, (*stride - w.k) * sizeof(float));
  }
  return padded;
}

}  // namespace

void nm_spmm(const NmKernel& kernel, const Nm& w, const float* x, size_t m, float* out,
             int threads) {
  const NmPattern& pattern = w.kept ? kernel.own : kernel.shared;
  const bool few = m <= kFewRows;
  const size_t tiles = few ? 1 : (m + kRowTile - 1) / kRowTile, panels = w.panels();
  size_t chunks = (w.n + kOutputs - 1) / kOutputs, stride = w.k;
  if (tiles < size_t(threads)) chunks = std::max<size_t>(chunks, threads * 4);
  chunks = std::min(chunks, panels);
  if (few) x = whole_groups(w, x, m, &stride);
  const double cost = m == 1 ? weights(w) / kWeightsPerMicrosecond
                             : weights(w) * m / kProductsPerMicrosecond;
  parallel(threads, cost, tiles * chunks, [&](size_t task) {
    const size_t tile = task / chunks, chunk = task % chunks;
    const size_t row = m * tile / tiles, rows = m * (tile + 1) / tiles - row;
    const size_t first = panels * chunk / chunks * kPanel;
    const size_t last = std::min(w.n, panels * (chunk + 1) / chunks * kPanel);
    float* space = nullptr;
    if (!few) {
      const size_t floats = room(w, kRowTile, w.kept ? last - first : 0);
      space = reinterpret_cast<float*>(scratch(floats * sizeof(float), 1));
    }
    (few ? pattern.few : pattern.run)(
        {w, x + row * stride, stride, rows, first, last, out + row * w.n, space});
  });
}

void nm_conv2d(const NmKernel& kernel, const Nm& w, const Geometry& g, const float* x,
               size_t batch, float* out, int threads) {
  const NmPattern& pattern = w.kept ? kernel.own : kernel.shared;
  const size_t pixels = g.pixels(), tiles = (pixels + kRowTile - 1) / kRowTile;
  const size_t bytes = room(w, kRowTile, w.n) * sizeof(float);
  for (size_t b = 0; b < batch; ++b) {
    const float* image = pad_images(g, x + b * g.c * g.tall * g.wide, 1, 0, threads);
    const double cost = weights(w) * pixels / kProductsPerMicrosecond;
    parallel(threads, cost, tiles, [&](size_t tile) {
      const size_t first = tile * kRowTile;
      pattern.convolve({w, g, image, first, std::min(kRowTile, pixels - first),
                        out + b * w.n * pixels, reinterpret_cast<float*>(scratch(bytes, 1))});
    });
  }
}

}  // namespace octavo
