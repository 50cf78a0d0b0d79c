#include <arm_neon.h>

#include "pq_matmul/tile.inc"

namespace {

using octavo::kPqPanel;
using octavo::PqFineSums;

constexpr size_t kOctetsOfSums = 32;  // 16-bit sums: 32 * 8 * 255 < 2^16
constexpr size_t kOutputs = 16;       // looked up at a time

// Sums of bytes in 16 bits: 16 outputs of a row.
struct Sums {
  uint16x8_t low, high;

  inline void add(const uint8_t* table, uint8x16_t codes) {
    const uint8x16_t found = vqtbl1q_u8(vld1q_u8(table), codes);
    low = vaddw_u8(low, vget_low_u8(found));
    high = vaddw_high_u8(high, found);
  }

  inline void put(int32_t* sums) const {
    uint16_t all[kOutputs];
    vst1q_u16(all, low);
    vst1q_u16(all + 8, high);
    for (size_t i = 0; i < kOutputs; ++i) sums[i] += all[i];
  }
};

// A load of four parts the groups, which lie side by side.
template <size_t ROWS>
void add_octets(const uint8_t* codes, const uint8_t* tables, size_t stride, size_t octets,
                int32_t* sums) {
  Sums sum[ROWS] = {};
  for (size_t octet = 0; octet < octets; ++octet, codes += kPqPanel * 4) {
    const uint8x16x4_t group = vld4q_u8(codes);
#pragma GCC unroll 4
    for (size_t g = 0; g < 4; ++g) {
      const uint8x16_t low = vandq_u8(group.val[g], vdupq_n_u8(15));
      const uint8x16_t high = vshrq_n_u8(group.val[g], 4);
#pragma GCC unroll 4
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
      for (size_t i = 0; i < kPqPanel; i += kOutputs) {
        add(t.codes + octet * kPqPanel * 4 + i * 4,
            t.tables + r * stride + octet * kPqOctet * kPqEntries, stride, count,
            t.sums + r * kPqPanel + i);
      }
    }
  }
}

}  // namespace

extern const octavo::PqMatmulKernel pq_matmul_neon;
const octavo::PqMatmulKernel pq_matmul_neon = {fine_tables, fine_sums, wide_tables, wide_sums};
