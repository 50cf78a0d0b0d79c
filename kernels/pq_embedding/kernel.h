// Rows of a product-quantized table.
#pragma once
#include <cstddef>
#include <cstdint>

namespace octavo {

struct PqRows {
  const int64_t* ids;
  size_t rows;
  const uint8_t* codes;  // [table rows][groups]
  const float* books;    // [groups][size][piece]
  size_t groups, size, piece;
  float* out;            // [rows][groups * piece]
  size_t whole;          // bytes of the whole answer
};

struct PqKernel {
  void (*run)(const PqRows&);
};

void pq_embedding(const PqKernel& kernel, const PqRows& all, int threads);

}  // namespace octavo
