#include <algorithm>

#include "block_attention/kernel.h"
#include "runtime/pool.h"

namespace octavo {
namespace {

constexpr double kProductsPerMicrosecond = 4.5e4;

const char* offset(const void* from, size_t numbers, bool half) {
  return static_cast<const char*>(from) + numbers * (half ? 2 : 4);
}

}  // namespace

// A task is a tile of queries of one head; a block of more than kTileQueries is cut in even tiles.
void block_attention(const BlockKernel& kernel, const BlockCall& c) {
  const size_t blocks = (c.queries + c.size - 1) / c.size;
  const size_t parts = (c.size + kTileQueries - 1) / kTileQueries;
  const size_t step = (c.size + parts - 1) / parts, heads = c.batch * c.heads;
  const double kept = double(c.indptr[c.lists * (blocks + 1) - 1]) * heads / c.lists;
  const double cost = 2.0 * kept * c.size * c.size * c.d / kProductsPerMicrosecond;
  parallel(c.threads, cost, heads * blocks * parts, [&](size_t task) {
    const size_t head = task / (blocks * parts), block = task / parts % blocks;
    const size_t first = block * c.size + task % parts * step;
    const size_t end = std::min({first + step, (block + 1) * c.size, c.queries});
    if (first >= end) return;
    const int32_t* row = c.indptr + head % c.lists * (blocks + 1) + block;
    const size_t keys = c.lengths ? c.lengths[head / c.heads] : c.keys;
    const size_t query_side = head * c.queries * c.d, key_side = head * c.keys * c.d;
    const BlockTile tile = {
        offset(c.q, query_side, c.half), offset(c.k, key_side, c.half),
        offset(c.v, key_side, c.half), const_cast<char*>(offset(c.out, query_side, c.half)),
        first, end - first, c.d, c.indices + row[0], size_t(row[1] - row[0]), c.size,
        std::min(keys, c.keys), c.scale, c.causal,
        reinterpret_cast<float*>(scratch(attention_room(c.d) * sizeof(float), 1))};
    (c.half ? kernel.run_half : kernel.run)(tile);
  });
}

}  // namespace octavo
