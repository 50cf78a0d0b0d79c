#define OCTAVO_LANES 16
#include "runtime/finish.inc"
#include "runtime/quantize.inc"
#include "runtime/vnni.inc"

namespace {

constexpr int OFFSET = 8;
constexpr int MOST = 12;

// ROWS x COUNT registers of sums: rows of x times 16 columns each. The low and the high nibbles
// have sums of their own where there are few, to hide the latency.
template <int ROWS, int COUNT>
inline void multiply_columns(const IntegerTile& t, size_t column, float* sums) {
  constexpr int CHAINS = ROWS * COUNT <= 8 ? 2 : 1;
  const __m512i nibble = _mm512_set1_epi8(15);
  const auto* x = static_cast<const int32_t*>(t.codes);
  const uint8_t* panel = t.panel + column * 4;
  for (size_t g = 0; g < t.groups; ++g) {
    __m512i acc[CHAINS][ROWS][COUNT];
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; ++r) {
#pragma GCC unroll 4
      for (int c = 0; c < COUNT; ++c) {
        acc[0][r][c] = _mm512_set1_epi32(-OFFSET * t.sums[r * t.groups + g]);
        if constexpr (CHAINS == 2) acc[1][r][c] = _mm512_setzero_si512();
      }
    }
    for (size_t k = inputs_of_group(t, g); k; k -= 8, x += 2 * ROWS, panel += 4 * kColumns) {
      __m512i low[COUNT], high[COUNT];
#pragma GCC unroll 4
      for (int c = 0; c < COUNT; ++c) {
        const __m512i both = _mm512_loadu_si512(panel + c * 64);
        low[c] = _mm512_and_si512(both, nibble);
        high[c] = _mm512_and_si512(_mm512_srli_epi16(both, 4), nibble);
      }
#pragma GCC unroll 16
      for (int r = 0; r < ROWS; ++r) {
        const __m512i xl = spread(x + r), xh = spread(x + ROWS + r);
#pragma GCC unroll 4
        for (int c = 0; c < COUNT; ++c) {
          acc[0][r][c] = dot4(acc[0][r][c], low[c], xl);
          acc[CHAINS - 1][r][c] = dot4(acc[CHAINS - 1][r][c], high[c], xh);
        }
      }
    }
#pragma GCC unroll 4
    for (int c = 0; c < COUNT; ++c) {
      const __m512 scale = _mm512_loadu_ps(t.scales + g * kColumns + column + c * 16);
#pragma GCC unroll 16
      for (int r = 0; r < ROWS; ++r) {
        __m512i sum = acc[0][r][c];
        if constexpr (CHAINS == 2) sum = _mm512_add_epi32(sum, acc[1][r][c]);
        float* to = sums + r * kColumns + column + c * 16;
        const __m512 step = _mm512_mul_ps(scale, _mm512_set1_ps(t.steps[r * t.groups + g]));
        _mm512_store_ps(to, _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), step, _mm512_load_ps(to)));
      }
    }
  }
}

template <int ROWS>
struct Multiply {
  static void run(const IntegerTile& t) {
    alignas(64) float sums[ROWS * kColumns] = {};
    constexpr int COUNT = ROWS <= 5 ? 4 : 2;
    for (size_t column = 0; column < t.columns; column += COUNT * 16) {
      multiply_columns<ROWS, COUNT>(t, column, sums);
    }
    finish(t, sums);
  }
};

}  // namespace

extern const octavo::IntegerKernel int4_matmul_avx512;
const octavo::IntegerKernel int4_matmul_avx512 = {MOST, sizeof(int8_t), quantize<int8_t>,
                                                  by_rows<Multiply, MOST>};
