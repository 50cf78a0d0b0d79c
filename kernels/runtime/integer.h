// Integer products on panels of 64 columns: what int4_matmul and int8_matmul share.
#pragma once
#include <cstdint>

#include "runtime/patches.h"

namespace octavo {

constexpr size_t kColumns = 64;

// One tile of quantized activations times one panel of weights.
struct IntegerTile {
  const void* codes;      // [padded / 4][rows][4], signed, in the instruction set's own width
  const float* steps;     // [rows][groups]
  const int32_t* sums;    // [rows][groups], sums of the codes
  size_t rows;
  size_t padded;          // inputs, padded
  size_t group, groups;   // inputs a group; the last group may end at `padded`
  const uint8_t* panel;   // the panel's codes, unsigned
  const float* scales;    // [groups][64]
  const float* bias;      // [columns] or null
  float* out;             // [rows][columns], rows `stride` apart
  size_t stride, columns;
};

struct Activations {
  const float* x;         // [rows][k], rows k apart
  size_t rows, k, padded, group, groups;
  void* codes;
  float* steps;
  int32_t* sums;
  float step;             // of every row where the caller gave one, else 0: rows find their own
};

struct IntegerKernel {
  size_t tile_rows;       // most rows of a tile
  size_t code_bytes;      // bytes of one activation's code
  void (*quantize)(const Activations&);
  void (*multiply)(const IntegerTile&);
};

struct IntegerCall {
  const float* x;             // [m][k], or padded images whose patches are the rows
  const Geometry* patches;    // null, or how to take the patches
  size_t m, k, n, padded, group, groups, panel_bytes;
  const uint8_t* codes;
  const float *scales, *bias;
  float* out;
  int threads;
  float step = 0;             // of the activations, 0 to find one a row and group
};

// out (m, n) = quantized(x) times the packed weight, plus bias.
void integer_matmul(const IntegerKernel& kernel, const IntegerCall& call);

}  // namespace octavo
