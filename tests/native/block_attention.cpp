#include "block_attention/kernel.h"

#include "native.h"

OCTAVO_KERNEL(octavo::BlockKernel, block_attention)

// bfloat16 as the upper half of a float.
static const uint16_t* halves(Case& c, size_t n) {
  auto* at = c.buffer<uint16_t>(n);
  for (size_t i = 0; i < n; ++i) {
    const float x = c.number();
    std::memcpy(at + i, reinterpret_cast<const char*>(&x) + 2, 2);
  }
  return at;
}

static void run(const octavo::BlockKernel& kernel, Case& c) {
  const bool half = c.chance(3);
  const size_t batch = c.size(1, 2), heads = c.size(1, 3), d = c.size(1, 70);
  const size_t queries = c.size(1, 150), keys = c.size(1, 150), size = c.size(1, 128);
  const size_t rows = (queries + size - 1) / size, blocks = (keys + size - 1) / size;
  const size_t lists = c.chance(2) ? 1 : c.chance(2) ? heads : batch * heads;
  std::vector<int32_t> indptr, indices;
  for (size_t row = 0; row < lists * rows; ++row) {
    indptr.push_back(int32_t(indices.size()));
    for (size_t block = 0; block < blocks; ++block) {
      if (c.chance(2)) indices.push_back(int32_t(block));
    }
    if (row % rows == rows - 1) indptr.push_back(int32_t(indices.size()));
  }
  const auto floats = [&](size_t n) -> const void* {
    return half ? static_cast<const void*>(halves(c, n)) : c.floats(n);
  };
  const size_t query_side = batch * heads * queries * d, key_side = batch * heads * keys * d;
  const void *q = floats(query_side), *k = floats(key_side), *v = floats(key_side);
  // A rounding may fall on the other side: the bits of a bfloat16 answer are not compared.
  void* out = half ? static_cast<void*>(c.buffer<uint16_t>(query_side))
                   : c.answer<float>(query_side, 1e-5);
  const auto* lengths = c.chance(2) ? c.integers<int32_t>(batch, 0, int64_t(keys)) : nullptr;
  octavo::block_attention(kernel, {q, k, v, out, half, batch, heads, queries, keys, d,
                                   c.copy(indptr), c.copy(indices), lists, size, lengths, 0.3f,
                                   c.chance(2), c.threads});
}

OCTAVO_CHECK(block_attention, run)
