// nm_spmm: panels of 16 outputs for one tile of rows of x, or of output pixels.
#pragma once
#include <cstdint>

#include "runtime/patches.h"

namespace octavo {

constexpr size_t kPanel = 16;        // outputs next to each other in a packed weight
constexpr size_t kSharedBlock = 1024;  // inputs that one row of `starts` covers
constexpr size_t kFewRows = 8;       // up to here outputs stand in the lanes, else rows do
constexpr size_t kRowTile = 64;      // most rows of x, or pixels, of a tile

// Either each weight has its own input, `kept` of each `group` inputs (words, no starts), or 16
// outputs share theirs (columns and starts, kept 0).
struct Nm {
  size_t n, k, kept, group;
  const float* values;      // own: [panels][slots][16]; shared: [blocks][panels][columns][16]
  const int32_t* words;     // [panels][words][16]: 2 bits a slot, or 4 where group > 4
  const int16_t* columns;   // an input's place in its block, for each 16 values
  const int32_t* starts;    // [blocks][panels + 1], in columns
  const float* bias;        // (n,) or null

  size_t panels() const { return (n + kPanel - 1) / kPanel; }
  size_t blocks() const { return (k + kSharedBlock - 1) / kSharedBlock; }
  size_t columns_in_all() const { return starts[blocks() * (panels() + 1) - 1]; }
  size_t bits() const { return group == 4 ? 2 : 4; }
  size_t slots() const { return (k + group - 1) / group * kept; }
  size_t slots_a_word() const { return 32 / bits(); }
  size_t words_in_panel() const { return (slots() + slots_a_word() - 1) / slots_a_word(); }
};

struct NmTile {
  const Nm& w;
  const float* x;           // [rows][stride], zeros past k up to a whole group
  size_t stride, rows;
  size_t first, last;       // the outputs to compute; first is a multiple of 16
  float* out;               // [rows][n]
  float* room;              // of nm_room(), 64-byte aligned
};

struct NmPixels {
  const Nm& w;
  const Geometry& g;
  const float* image;       // [c][padded tall][padded wide]
  size_t first, count;      // the tile's pixels, at most kRowTile
  float* out;               // [n][pixels]
  float* room;
};

struct NmPattern {
  void (*few)(const NmTile&);        // at most kFewRows rows
  void (*run)(const NmTile&);
  void (*convolve)(const NmPixels&);
};

struct NmKernel {
  NmPattern own, shared;
};

// out (m, n) = x (m, k) times the packed weight, plus bias.
void nm_spmm(const NmKernel& kernel, const Nm& w, const float* x, size_t m, float* out,
             int threads);

// out (batch, n, out_tall, out_wide) = x (batch, c, tall, wide) convolved with the packed weight,
// whose inputs are (kernel_tall, kernel_wide, c).
void nm_conv2d(const NmKernel& kernel, const Nm& w, const Geometry& g, const float* x,
               size_t batch, float* out, int threads);

}  // namespace octavo
