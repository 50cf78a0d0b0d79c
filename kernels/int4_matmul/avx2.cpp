#define OCTAVO_LANES 8
#include <immintrin.h>

#include "runtime/finish.inc"
#include "runtime/quantize.inc"

namespace {

constexpr int OFFSET = 8;
constexpr int MOST = 4;
constexpr size_t BURST = 32;  // inputs whose products fit 16 bits: 32 / 2 * 15 * 127 < 2^15

// Rows of x times COUNT x 8 columns. vpmaddubsw multiplies unsigned nibbles by signed activations
// and adds pairs in 16 bits; after a burst they are widened to 32.
template <int ROWS, int COUNT>
inline void multiply_columns(const IntegerTile& t, size_t column, float* sums) {
  const __m256i nibble = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1);
  const auto* x = static_cast<const int32_t*>(t.codes);
  const uint8_t* panel = t.panel + column * 4;
  for (size_t g = 0; g < t.groups; ++g) {
    __m256i acc[ROWS][COUNT];
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r) {
#pragma GCC unroll 8
      for (int c = 0; c < COUNT; ++c) {
        acc[r][c] = _mm256_set1_epi32(-OFFSET * t.sums[r * t.groups + g]);
      }
    }
    for (size_t left = inputs_of_group(t, g); left;) {
      const size_t burst = left < BURST ? left : BURST;
      left -= burst;
      __m256i part[ROWS][COUNT] = {};
      for (size_t k = burst; k; k -= 8, x += 2 * ROWS, panel += 4 * kColumns) {
#pragma GCC unroll 8
        for (int c = 0; c < COUNT; ++c) {
          const __m256i both =
              _mm256_loadu_si256(reinterpret_cast<const __m256i*>(panel + c * 32));
          const __m256i low = _mm256_and_si256(both, nibble);
          const __m256i high = _mm256_and_si256(_mm256_srli_epi16(both, 4), nibble);
#pragma GCC unroll 8
          for (int r = 0; r < ROWS; ++r) {
            const __m256i a = _mm256_maddubs_epi16(low, _mm256_set1_epi32(x[r]));
            const __m256i b = _mm256_maddubs_epi16(high, _mm256_set1_epi32(x[ROWS + r]));
            part[r][c] = _mm256_add_epi16(part[r][c], _mm256_add_epi16(a, b));
          }
        }
      }
#pragma GCC unroll 8
      for (int r = 0; r < ROWS; ++r) {
#pragma GCC unroll 8
        for (int c = 0; c < COUNT; ++c) {
          acc[r][c] = _mm256_add_epi32(acc[r][c], _mm256_madd_epi16(part[r][c], ones));
        }
      }
    }
#pragma GCC unroll 8
    for (int c = 0; c < COUNT; ++c) {
      const __m256 scale = _mm256_loadu_ps(t.scales + g * kColumns + column + c * 8);
#pragma GCC unroll 8
      for (int r = 0; r < ROWS; ++r) {
        float* to = sums + r * kColumns + column + c * 8;
        const __m256 step = _mm256_mul_ps(scale, _mm256_set1_ps(t.steps[r * t.groups + g]));
        const __m256 sum = _mm256_cvtepi32_ps(acc[r][c]);
        _mm256_store_ps(to, _mm256_fmadd_ps(sum, step, _mm256_load_ps(to)));
      }
    }
  }
}

template <int ROWS>
struct Multiply {
  static void run(const IntegerTile& t) {
    alignas(64) float sums[ROWS * kColumns] = {};
    constexpr int COUNT = ROWS == 1 ? 4 : ROWS == 2 ? 2 : 1;
    for (size_t column = 0; column < t.columns; column += COUNT * 8) {
      multiply_columns<ROWS, COUNT>(t, column, sums);
    }
    finish(t, sums);
  }
};

}  // namespace

extern const octavo::IntegerKernel int4_matmul_avx2;
const octavo::IntegerKernel int4_matmul_avx2 = {MOST, sizeof(int8_t), quantize<int8_t>,
                                                by_rows<Multiply, MOST>};
