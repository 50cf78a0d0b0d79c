// Attention of one tile of queries over the kept blocks of keys.
#pragma once
#include <cstddef>
#include <cstdint>

#include "runtime/attention.h"

namespace octavo {

// Of one batch entry and head; rows of q, k, v and out are d numbers long.
struct BlockTile {
  const void *q, *k, *v;
  void* out;
  size_t first, queries;  // the tile's queries: positions [first, first + queries)
  size_t d;
  const int32_t* blocks;  // the kept blocks of keys
  size_t count, size;     // how many, and keys in each
  size_t keys;            // keys from here on do not count
  float scale;
  bool causal;
  float* room;            // attention_room(d) floats, 64-byte aligned
};

struct BlockKernel {
  void (*run)(const BlockTile&);       // of float32
  void (*run_half)(const BlockTile&);  // of bfloat16
};

struct BlockCall {
  const void *q, *k, *v;  // [batch][heads][queries or keys][d]
  void* out;
  bool half;              // bfloat16
  size_t batch, heads, queries, keys, d;
  const int32_t *indptr, *indices;
  size_t lists;           // 1: all heads share one; heads: one each; batch * heads: one each
  size_t size;            // queries and keys in a block
  const int32_t* lengths; // keys of each batch entry that count, or null
  float scale;
  bool causal;
  int threads;
};

void block_attention(const BlockKernel& kernel, const BlockCall& call);

}  // namespace octavo
