// One tile of queries that attends to keys and values a block at a time; see attention.inc.
#pragma once
#include <cstddef>

namespace octavo {

constexpr size_t kTileQueries = 64;  // queries of a tile
constexpr size_t kTileKeys = 128;    // keys of a block

// Floats of room that a tile needs, 64-byte aligned: queries and answers, each [d][queries]; scores
// [keys][queries]; maximum, sum and decay of each query; a block of keys or values [keys][d].
constexpr size_t attention_room(size_t d) {
  return (2 * d + kTileKeys + 3) * kTileQueries + kTileKeys * d;
}

}  // namespace octavo
