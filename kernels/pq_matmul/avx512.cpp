#include "pq_matmul/tile.inc"
#include "runtime/vnni.inc"

namespace {

using octavo::kPqPanel;
using octavo::PqFineSums;

inline __m512i load_bytes(const uint8_t* at) { return _mm512_loadu_si512(at); }

// A permutation looks 64 bytes up at a time, in the tables of four groups: the code of a group and
// its number in the four make the index. A dot product with ones adds the four.
template <size_t ROWS>
void add_octets(const uint8_t* codes, const uint8_t* tables, size_t octets, int32_t* sums) {
  const __m512i ones = _mm512_set1_epi8(1), nibble = _mm512_set1_epi8(15);
  const __m512i place = _mm512_set1_epi32(0x30201000);
  constexpr int kBoth = 0xEA;  // (a & b) | c
  const size_t stride = octets * kPqOctet * kPqEntries;
  __m512i sum[ROWS][4] = {};
  for (size_t octet = 0; octet < octets; ++octet, codes += kPqPanel * 4) {
    __m512i low[4], high[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const __m512i both = load_bytes(codes + 64 * i);
      low[i] = _mm512_ternarylogic_epi32(both, nibble, place, kBoth);
      high[i] = _mm512_ternarylogic_epi32(_mm512_srli_epi16(both, 4), nibble, place, kBoth);
    }
#pragma GCC unroll 4
    for (size_t r = 0; r < ROWS; ++r) {
      const uint8_t* table = tables + r * stride + octet * kPqOctet * kPqEntries;
      const __m512i first = load_bytes(table), second = load_bytes(table + 64);
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        sum[r][i] = dot4(sum[r][i], _mm512_permutexvar_epi8(low[i], first), ones);
        sum[r][i] = dot4(sum[r][i], _mm512_permutexvar_epi8(high[i], second), ones);
      }
    }
  }
#pragma GCC unroll 4
  for (size_t r = 0; r < ROWS; ++r) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) _mm512_storeu_si512(sums + r * kPqPanel + 16 * i, sum[r][i]);
  }
}

void fine_sums(const PqFineSums& t) {
  const size_t stride = t.octets * kPqOctet * kPqEntries;
  size_t r = 0;
  for (; r + 4 <= t.rows; r += 4) {
    add_octets<4>(t.codes, t.tables + r * stride, t.octets, t.sums + r * kPqPanel);
  }
  for (; r < t.rows; ++r) {
    add_octets<1>(t.codes, t.tables + r * stride, t.octets, t.sums + r * kPqPanel);
  }
}

}  // namespace

extern const octavo::PqMatmulKernel pq_matmul_avx512;
const octavo::PqMatmulKernel pq_matmul_avx512 = {fine_tables, fine_sums, wide_tables, wide_sums};
