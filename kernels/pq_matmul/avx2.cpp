#include <immintrin.h>

#include "pq_matmul/tile.inc"

namespace {

using octavo::kPqPanel;
using octavo::PqFineSums;

constexpr size_t kHalf = 32;          // outputs of four registers of codes
constexpr size_t kOctetsOfSums = 32;  // 256 bytes add up in 16 bits

inline __m256i load_bytes(const uint8_t* at) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
}

// Codes of 32 outputs, four groups side by side, to a register a group.
inline void part_groups(const uint8_t* codes, __m256i group[4]) {
  const __m256i apart = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
  __m256i v[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) v[i] = _mm256_shuffle_epi8(load_bytes(codes + 32 * i), apart);
  const __m256i a = _mm256_unpacklo_epi32(v[0], v[1]), b = _mm256_unpackhi_epi32(v[0], v[1]);
  const __m256i c = _mm256_unpacklo_epi32(v[2], v[3]), d = _mm256_unpackhi_epi32(v[2], v[3]);
  group[0] = _mm256_unpacklo_epi64(a, c), group[1] = _mm256_unpackhi_epi64(a, c);
  group[2] = _mm256_unpacklo_epi64(b, d), group[3] = _mm256_unpackhi_epi64(b, d);
}

// Sums of bytes in 16 bits: `all` of low + 256 * high, modulo 2^16, `odd` of high.
struct Sums {
  __m256i all, odd;

  inline void add(const uint8_t* table, __m256i codes) {
    const auto entries = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
    const __m256i found = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(entries), codes);
    all = _mm256_add_epi16(all, found);
    odd = _mm256_add_epi16(odd, _mm256_srli_epi16(found, 8));
  }

  // To sums [32], in the order that part_groups left.
  inline void put(int32_t* sums) const {
    alignas(32) uint16_t even[16], high[16];
    const __m256i low = _mm256_sub_epi16(all, _mm256_slli_epi16(odd, 8));
    _mm256_store_si256(reinterpret_cast<__m256i*>(even), low);
    _mm256_store_si256(reinterpret_cast<__m256i*>(high), odd);
    for (size_t i = 0; i < 16; ++i) {
      int32_t* to = sums + i % 8 / 2 * 8 + i / 8 * 4 + i % 2 * 2;
      to[0] += even[i];
      to[1] += high[i];
    }
  }
};

template <size_t ROWS>
void add_octets(const uint8_t* codes, const uint8_t* tables, size_t stride, size_t octets,
                int32_t* sums) {
  const __m256i nibble = _mm256_set1_epi8(15);
  Sums sum[ROWS] = {};
  for (size_t octet = 0; octet < octets; ++octet, codes += kPqPanel * 4) {
    __m256i group[4];
    part_groups(codes, group);
#pragma GCC unroll 4
    for (size_t g = 0; g < 4; ++g) {
      const __m256i low = _mm256_and_si256(group[g], nibble);
      const __m256i high = _mm256_and_si256(_mm256_srli_epi16(group[g], 4), nibble);
#pragma GCC unroll 2
      for (size_t r = 0; r < ROWS; ++r) {
        const uint8_t* table = tables + r * stride + (octet * kPqOctet + g) * kPqEntries;
        sum[r].add(table, low);
        sum[r].add(table + 4 * kPqEntries, high);
      }
    }
  }
  for (size_t r = 0; r < ROWS; ++r) sum[r].put(sums + r * kPqPanel);
}

void fine_sums(const PqFineSums& t) {
  std::memset(t.sums, 0, t.rows * kPqPanel * sizeof(int32_t));
  const size_t stride = t.octets * kPqOctet * kPqEntries;
  for (size_t r = 0; r < t.rows; r += 2) {
    const auto add = t.rows - r > 1 ? add_octets<2> : add_octets<1>;
    for (size_t octet = 0; octet < t.octets; octet += kOctetsOfSums) {
      const size_t left = t.octets - octet, count = left < kOctetsOfSums ? left : kOctetsOfSums;
      const uint8_t* tables = t.tables + r * stride + octet * kPqOctet * kPqEntries;
      for (size_t half = 0; half < 2; ++half) {
        add(t.codes + octet * kPqPanel * 4 + half * kHalf * 4, tables, stride, count,
            t.sums + r * kPqPanel + half * kHalf);
      }
    }
  }
}

}  // namespace

extern const octavo::PqMatmulKernel pq_matmul_avx2;
const octavo::PqMatmulKernel pq_matmul_avx2 = {fine_tables, fine_sums, wide_tables, wide_sums};
