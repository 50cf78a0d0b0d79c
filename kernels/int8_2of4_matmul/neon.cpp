#include "int8_2of4_matmul/kernel.h"
#define OCTAVO_LANES 4
#include "runtime/dotprod.inc"
#include "runtime/finish.inc"
#include "runtime/quantize.inc"

namespace {

using namespace octavo::two_of_four;

constexpr int MOST = 8;

// Places of 4 columns, four of 2 bits in a byte, as the bytes of a row's 16 inputs: `base` is
// where the group of each starts.
inline uint8x16_t picks(const uint8_t* places, uint32x4_t base) {
  uint32_t four;
  std::memcpy(&four, places, sizeof four);
  const uint16x4_t pairs = vget_low_u16(vmovl_u8(vcreate_u8(four)));
  uint32x4_t all = vmovl_u16(pairs);
  all = vorrq_u32(all, vshlq_n_u32(all, 12));
  all = vorrq_u32(all, vshlq_n_u32(all, 6));
  return vreinterpretq_u8_u32(vorrq_u32(vandq_u32(all, vdupq_n_u32(0x03030303)), base));
}

// sum += weights times what they pick of a row's 16 inputs. In assembly because GCC 12 loads the
// inputs of all rows first and has no registers left.
__attribute__((always_inline)) inline int32x4_t meet(int32x4_t sum, int8x16_t weights,
                                                     uint8x16_t index, const int8_t* x) {
  int8x16_t inputs;
  asm("ld1 {%1.16b}, %2\n\ttbl %1.16b, {%1.16b}, %3.16b\n\tsdot %0.4s, %4.16b, %1.16b"
      : "+w"(sum), "=&w"(inputs)
      : "Q"(*reinterpret_cast<const int8x16_t*>(x)), "w"(index), "w"(weights));
  return sum;
}

// Rows of x times COUNT x 4 columns.
template <int ROWS, int COUNT>
inline void multiply_columns(const IntegerTile& t, size_t column, float* sums) {
  const auto* x = static_cast<const int8_t*>(t.codes);
  const uint8_t* block = t.panel + kHead;
  int32x4_t acc[ROWS][COUNT] = {};
  for (size_t k = t.padded; k; k -= kInputs, x += kInputs * ROWS, block += kBlock) {
#pragma GCC unroll 2
    for (int step = 0; step < 2; ++step) {
      const uint32x4_t base = vdupq_n_u32(step ? 0x0C0C0808 : 0x04040000);
#pragma GCC unroll 4
      for (int c = 0; c < COUNT; ++c) {
        const size_t at = column + c * 4;
        const int8x16_t weights = load_codes(block + step * kStep + at * 4);
        const uint8x16_t index = picks(block + kPlaces + step * kColumns + at, base);
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; ++r) {
          acc[r][c] = meet(acc[r][c], weights, index, x + r * kInputs);
        }
      }
    }
  }
#pragma GCC unroll 4
  for (int c = 0; c < COUNT; ++c) {
    const size_t to = column + c * 4;
    const float32x4_t scale = vld1q_f32(t.scales + to);
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r) {
      const float32x4_t step = vmulq_n_f32(scale, t.steps[r]);
      vst1q_f32(sums + r * kColumns + to, vmulq_f32(vcvtq_f32_s32(acc[r][c]), step));
    }
  }
}

template <int ROWS>
struct Multiply {
  static void run(const IntegerTile& t) {
    float sums[ROWS * kColumns];
    constexpr int COUNT = ROWS <= 4 ? 4 : 2;
    for (size_t column = 0; column < t.columns; column += COUNT * 4) {
      multiply_columns<ROWS, COUNT>(t, column, sums);
    }
    finish(t, sums);
  }
};

}  // namespace

extern const octavo::IntegerKernel int8_2of4_matmul_neon;
const octavo::IntegerKernel int8_2of4_matmul_neon = {
    MOST, sizeof(int8_t), quantize<int8_t, kInputs>, by_rows<Multiply, MOST>};
