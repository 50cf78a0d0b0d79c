#define OCTAVO_LANES 16
#include "runtime/finish.inc"
#include "runtime/quantize.inc"
#include "runtime/vnni.inc"

namespace {

constexpr int OFFSET = 128;
constexpr int MOST = 6;

// ROWS x COUNT registers of sums: rows of x times 16 columns each.
template <int ROWS, int COUNT>
inline void multiply_columns(const IntegerTile& t, size_t column, float* sums) {
  const auto* x = static_cast<const int32_t*>(t.codes);
  const uint8_t* panel = t.panel + column * 4;
  __m512i acc[ROWS][COUNT];
#pragma GCC unroll 16
  for (int r = 0; r < ROWS; ++r) {
#pragma GCC unroll 4
    for (int c = 0; c < COUNT; ++c) acc[r][c] = _mm512_set1_epi32(-OFFSET * t.sums[r]);
  }
  for (size_t k = t.padded; k; k -= 4, x += ROWS, panel += 4 * kColumns) {
    __m512i weights[COUNT];
#pragma GCC unroll 4
    for (int c = 0; c < COUNT; ++c) weights[c] = _mm512_loadu_si512(panel + c * 64);
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; ++r) {
      const __m512i four = spread(x + r);
#pragma GCC unroll 4
      for (int c = 0; c < COUNT; ++c) acc[r][c] = dot4(acc[r][c], weights[c], four);
    }
  }
#pragma GCC unroll 4
  for (int c = 0; c < COUNT; ++c) {
    const __m512 scale = _mm512_loadu_ps(t.scales + column + c * 16);
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; ++r) {
      const __m512 step = _mm512_mul_ps(scale, _mm512_set1_ps(t.steps[r]));
      _mm512_store_ps(sums + r * kColumns + column + c * 16,
                      _mm512_mul_ps(_mm512_cvtepi32_ps(acc[r][c]), step));
    }
  }
}

template <int ROWS>
struct Multiply {
  static void run(const IntegerTile& t) {
    alignas(64) float sums[ROWS * kColumns];
    constexpr int COUNT = 4;
    for (size_t column = 0; column < t.columns; column += COUNT * 16) {
      multiply_columns<ROWS, COUNT>(t, column, sums);
    }
    finish(t, sums);
  }
};

}  // namespace

extern const octavo::IntegerKernel int8_matmul_avx512;
const octavo::IntegerKernel int8_matmul_avx512 = {MOST, sizeof(int8_t), quantize<int8_t>,
                                                  by_rows<Multiply, MOST>};
