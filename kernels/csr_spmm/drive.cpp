#include <algorithm>

#include "csr_spmm/kernel.h"
#include "runtime/pool.h"

namespace octavo {
namespace {

constexpr size_t kOutputs = 4096;  // a chunk of outputs: its sums stay in the second-level cache
constexpr double kProductsPerMicrosecond = 3e4, kVectorPerMicrosecond = 1e3;

}  // namespace

void csr_spmm(const CsrKernel& kernel, const Csr& w, const float* x, size_t m, float* out,
              int threads) {
  const size_t tiles = (m + kernel.width - 1) / kernel.width;
  size_t chunks = (w.n + kOutputs - 1) / kOutputs;
  if (tiles < size_t(threads)) chunks = std::max<size_t>(chunks, threads * 4);
  chunks = std::min(chunks, w.n);
  const double cost = m == 1 ? w.nonzeros / kVectorPerMicrosecond
                             : double(w.nonzeros) * m / kProductsPerMicrosecond;
  parallel(threads, cost, tiles * chunks, [&](size_t task) {
    const size_t tile = task / chunks, chunk = task % chunks;
    const size_t row = m * tile / tiles, end = m * (tile + 1) / tiles;
    const size_t first = w.n * chunk / chunks, last = w.n * (chunk + 1) / chunks;
    const size_t room = (w.block + last - first) * kernel.width * sizeof(float);
    kernel.run({w, x + row * w.k, end - row, first, last, out + row * w.n,
                reinterpret_cast<float*>(scratch(room, 1))});
  });
}

void csr_conv2d(const CsrKernel& kernel, const Csr& w, const Geometry& g, const float* x,
                size_t batch, float* out, int threads) {
  const size_t pixels = g.pixels(), tiles = (pixels + kernel.width - 1) / kernel.width;
  const size_t room = ((w.block + w.n) * kernel.width + kSlack) * sizeof(float);
  for (size_t b = 0; b < batch; ++b) {
    const float* image = pad_images(g, x + b * g.c * g.tall * g.wide, 1, 0, threads);
    const double cost = double(w.nonzeros) * pixels / kProductsPerMicrosecond;
    parallel(threads, cost, tiles, [&](size_t tile) {
      const size_t first = tile * kernel.width;
      kernel.convolve({w, g, image, first, std::min(kernel.width, pixels - first),
                       out + b * w.n * pixels, reinterpret_cast<float*>(scratch(room, 1))});
    });
  }
}

}  // namespace octavo
