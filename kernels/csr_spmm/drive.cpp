#include <algorithm>

#include "csr_spmm/kernel.h"
#include "runtime/pool.h"

namespace octavo {
namespace {

constexpr size_t kOutputs = 4096;  // a chunk of outputs: its sums stay in the second-level cache
constexpr double kProductsPerMicrosecond = 3e4, kVectorPerMicrosecond = 1e3;

}  // namespace

void csr_spmm(const CsrKernel& kernel, const CsrCall& call) {
  const size_t tiles = (call.m + kernel.width - 1) / kernel.width;
  size_t chunks = (call.n + kOutputs - 1) / kOutputs;
  if (tiles < size_t(call.threads)) chunks = std::max<size_t>(chunks, call.threads * 4);
  chunks = std::min(chunks, call.n);
  const double cost = call.m == 1 ? call.nonzeros / kVectorPerMicrosecond
                                  : double(call.nonzeros) * call.m / kProductsPerMicrosecond;
  parallel(call.threads, cost, tiles * chunks, [&](size_t task) {
    const size_t tile = task / chunks, chunk = task % chunks;
    const size_t row = call.m * tile / tiles, end = call.m * (tile + 1) / tiles;
    const size_t first = call.n * chunk / chunks, last = call.n * (chunk + 1) / chunks;
    const size_t room = (call.block + last - first) * kernel.width * sizeof(float);
    kernel.run({call.x + row * call.k, end - row, call.k, call.values, call.columns, call.starts,
                call.n, call.block, call.blocks, first, last, call.bias, call.out + row * call.n,
                reinterpret_cast<float*>(scratch(room, 1))});
  });
}

}  // namespace octavo
