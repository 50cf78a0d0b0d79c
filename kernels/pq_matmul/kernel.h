// Products with a product-quantized weight, by tables of what each piece of a codebook gives.
#pragma once
#include <cstddef>
#include <cstdint>

namespace octavo {

constexpr size_t kPqOctet = 8;     // groups that are packed together
constexpr size_t kPqEntries = 16;  // of a 4-bit table; every book is padded to a multiple of it
constexpr size_t kPqWide = 256;    // of an 8-bit table
constexpr size_t kPqPanel = 64;    // outputs of a panel of 4-bit codes
constexpr size_t kPqMiddle = 128;  // the byte that stands for 0 in a 4-bit table

struct PqFine {  // the 4-bit tables of one row of x
  const float *x, *books;          // books: [groups][piece][16]
  size_t groups, piece;
  float* exact;                    // room: [groups][16]
  uint8_t* tables;                 // [octets * 8][16]: kPqMiddle + round(exact / step)
};

struct PqFineSums {  // 4-bit look-ups: all rows at one panel of outputs
  const uint8_t* codes;            // [octets][64][4]: low nibbles groups 0 to 3, high 4 to 7
  const uint8_t* tables;           // [rows][octets * 8][16]
  size_t rows, octets;
  int32_t* sums;                   // [rows][64]
};

struct PqWide {  // 8-bit tables of an octet of groups, for `lanes` rows of x
  const float *x, *books;          // [groups * piece][lanes], [groups][piece][size]
  size_t groups, piece, size, lanes;
  float* tables;                   // [8][256][lanes], `size` of the 256 are filled
};

struct PqWideSums {  // 8-bit look-ups of an octet: lanes rows at n outputs
  const uint8_t* codes;            // [n][8]
  const float* tables;
  size_t n, lanes;
  float* sums;                     // [n][lanes], added to
};

struct PqMatmulKernel {
  float (*fine_tables)(const PqFine&);  // returns the step
  void (*fine_sums)(const PqFineSums&);
  void (*wide_tables)(const PqWide&);
  void (*wide_sums)(const PqWideSums&);
};

struct PqMatmulCall {
  const float* x;                  // [m][groups * piece]
  const uint8_t* codes;
  const float *books, *bias;       // bias: (n,) or null
  size_t m, n, groups, piece, size;
  float* out;                      // [m][n]
  int threads;

  size_t octets() const { return (groups + kPqOctet - 1) / kPqOctet; }
};

void pq_matmul_fine(const PqMatmulKernel& kernel, const PqMatmulCall& call);
void pq_matmul_wide(const PqMatmulKernel& kernel, const PqMatmulCall& call);

}  // namespace octavo
