#define OCTAVO_LANES 4
#include "runtime/dotprod.inc"
#include "runtime/finish.inc"
#include "runtime/quantize.inc"

namespace {

constexpr int MOST = 5;

// ROWS x COUNT registers of sums: rows of x times 4 columns each. Codes are stored plus 128; their
// top bit turned, they are signed again, and no offset is left to take off.
template <int ROWS, int COUNT>
inline void multiply_columns(const IntegerTile& t, size_t column, float* sums) {
  const auto* x = static_cast<const int8_t*>(t.codes);
  const uint8_t* panel = t.panel + column * 4;
  const int8x16_t top = vdupq_n_s8(-128);
  int32x4_t acc[ROWS][COUNT] = {};
  for (size_t k = t.padded; k; k -= 4, x += 4 * ROWS, panel += 4 * kColumns) {
    int8x16_t weights[COUNT];
#pragma GCC unroll 4
    for (int c = 0; c < COUNT; ++c) weights[c] = veorq_s8(load_codes(panel + c * 16), top);
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r) {
      const int8x16_t four = spread(x + r * 4);
#pragma GCC unroll 4
      for (int c = 0; c < COUNT; ++c) acc[r][c] = dot4(acc[r][c], weights[c], four);
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
    constexpr int COUNT = 4;
    for (size_t column = 0; column < t.columns; column += COUNT * 4) {
      multiply_columns<ROWS, COUNT>(t, column, sums);
    }
    finish(t, sums);
  }
};

}  // namespace

extern const octavo::IntegerKernel int8_matmul_neon;
const octavo::IntegerKernel int8_matmul_neon = {MOST, sizeof(int8_t), quantize<int8_t>,
                                                by_rows<Multiply, MOST>};
