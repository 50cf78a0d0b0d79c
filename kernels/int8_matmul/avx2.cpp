#define OCTAVO_LANES 8
#include <immintrin.h>

#include "runtime/finish.inc"
#include "runtime/quantize.inc"

namespace {

constexpr int OFFSET = 128;
constexpr int MOST = 4;

// sum += 16-bit weights times activations, pairs added. In assembly so that the sum stays in place:
// GCC 12 moves it through the stack, and the round trip is the loop's time.
__attribute__((always_inline)) inline __m256i dot2(__m256i sum, __m256i weights, __m256i x) {
  __m256i products;
  asm("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0"
      : "+x"(sum), "=&x"(products)
      : "x"(weights), "x"(x));
  return sum;
}

// Rows of x times COUNT x 4 columns. vpmaddubsw would saturate (2 * 255 * 127 > 2^15), so weights
// are widened to 16 bits, activations are quantized to 16-bit codes, and vpmaddwd adds pairs.
template <int ROWS, int COUNT>
inline void multiply_columns(const IntegerTile& t, size_t column, float* sums) {
  const auto* x = static_cast<const int64_t*>(t.codes);
  const uint8_t* panel = t.panel + column * 4;
  __m256i acc[ROWS][COUNT] = {};  // two partial sums a column
  for (size_t k = t.padded; k; k -= 4, x += ROWS, panel += 4 * kColumns) {
#pragma GCC unroll 8
    for (int c = 0; c < COUNT; ++c) {
      const auto* at = reinterpret_cast<const __m128i*>(panel + c * 16);
      const __m256i weights = _mm256_cvtepu8_epi16(_mm_loadu_si128(at));
#pragma GCC unroll 8
      for (int r = 0; r < ROWS; ++r) {
        acc[r][c] = dot2(acc[r][c], weights, _mm256_set1_epi64x(x[r]));
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < ROWS; ++r) {
    const __m256i offset = _mm256_set1_epi32(OFFSET * t.sums[r]);
    const __m256 step = _mm256_set1_ps(t.steps[r]);
#pragma GCC unroll 8
    for (int c = 0; c < COUNT; c += 2) {
      const __m256i pairs = _mm256_hadd_epi32(acc[r][c], acc[r][c + 1]);
      const __m256i sum = _mm256_permute4x64_epi64(pairs, _MM_SHUFFLE(3, 1, 2, 0));
      const size_t to = column + c * 4;
      const __m256 scale = _mm256_mul_ps(_mm256_loadu_ps(t.scales + to), step);
      const __m256 value = _mm256_cvtepi32_ps(_mm256_sub_epi32(sum, offset));
      _mm256_store_ps(sums + r * kColumns + to, _mm256_mul_ps(value, scale));
    }
  }
}

template <int ROWS>
struct Multiply {
  static void run(const IntegerTile& t) {
    alignas(64) float sums[ROWS * kColumns];
    constexpr int COUNT = ROWS == 1 ? 8 : ROWS == 2 ? 4 : 2;
    for (size_t column = 0; column < t.columns; column += COUNT * 4) {
      multiply_columns<ROWS, COUNT>(t, column, sums);
    }
    finish(t, sums);
  }
};

}  // namespace

extern const octavo::IntegerKernel int8_matmul_avx2;
const octavo::IntegerKernel int8_matmul_avx2 = {MOST, sizeof(int16_t), quantize<int16_t>,
                                                by_rows<Multiply, MOST>};
