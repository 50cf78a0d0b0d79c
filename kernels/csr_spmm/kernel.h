// csr_spmm: one chunk of outputs for one tile of rows of x; and the same weight as a convolution.
#pragma once
#include <cstdint>

#include "runtime/patches.h"

namespace octavo {

struct Csr {
  size_t n, k, block, blocks, nonzeros;
  const float* values;
  const uint8_t* columns;
  const int32_t* starts;     // [blocks][n + 1]
  const float* bias;         // (n,) or null
};

struct CsrTile {
  const Csr& w;
  const float* x;            // [rows][k], rows k apart
  size_t rows;
  size_t first, last;        // the outputs to compute
  float* out;                // [rows][n]
  float* room;               // (block + last - first) * width floats, 64-byte aligned
};

struct CsrPixels {
  const Csr& w;
  const Geometry& g;
  const float* image;        // [c][padded tall][padded wide]
  size_t first, count;       // the tile's pixels, at most width
  float* out;                // [n][pixels]
  float* room;               // (block + n) * width + kSlack floats, 64-byte aligned
};

struct CsrKernel {
  size_t width;              // most rows of x, or pixels, of a tile
  void (*run)(const CsrTile&);
  void (*convolve)(const CsrPixels&);
};

// out (m, n) = x (m, k) times the packed weight, plus bias.
void csr_spmm(const CsrKernel& kernel, const Csr& w, const float* x, size_t m, float* out,
              int threads);

// out (batch, n, out_tall, out_wide) = x (batch, c, tall, wide) convolved with the packed weight,
// whose inputs are (c, kernel_tall, kernel_wide).
void csr_conv2d(const CsrKernel& kernel, const Csr& w, const Geometry& g, const float* x,
                size_t batch, float* out, int threads);

}  // namespace octavo
