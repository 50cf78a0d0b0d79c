// One chunk of output columns of csr_spmm, for one tile of rows of x.
#pragma once
#include <cstddef>
#include <cstdint>

namespace octavo {

struct CsrTile {
  const float* x;            // [rows][k], rows k apart
  size_t rows, k;
  const float* values;
  const uint8_t* columns;
  const int32_t* starts;     // [blocks][n + 1]
  size_t n, block, blocks;
  size_t first, last;        // the outputs to compute
  const float* bias;         // (n,) or null
  float* out;                // [rows][n]
  float* room;               // (block + last - first) * width floats, 64-byte aligned
};

struct CsrKernel {
  size_t width;              // most rows of x a tile may have
  void (*run)(const CsrTile&);
};

struct CsrCall {
  const float* x;
  size_t m, k, n, block, blocks, nonzeros;
  const float* values;
  const uint8_t* columns;
  const int32_t* starts;
  const float* bias;
  float* out;
  int threads;
};

// out (m, n) = x times the packed weight, plus bias.
void csr_spmm(const CsrKernel& kernel, const CsrCall& call);

}  // namespace octavo
