#include "int8_2of4_matmul/kernel.h"
#define OCTAVO_LANES 8
#include <immintrin.h>

#include "runtime/finish.inc"
#include "runtime/quantize.inc"

namespace {

using namespace octavo::two_of_four;

constexpr int MOST = 8;

// Weights of 8 columns by 8 inputs, and which of the inputs each picks.
struct Step {
  __m256i weights, magnitudes, index;
};

// Places of 8 columns, four of 2 bits in a byte, as the bytes of two groups of 4 inputs.
inline __m256i picks(const uint8_t* places) {
  const __m128i packed = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(places));
  __m256i all = _mm256_cvtepu8_epi32(packed);
  all = _mm256_or_si256(all, _mm256_slli_epi32(all, 12));
  all = _mm256_or_si256(all, _mm256_slli_epi32(all, 6));
  return _mm256_or_si256(_mm256_and_si256(all, _mm256_set1_epi8(3)),
                         _mm256_set1_epi32(0x04040000));
}

// The 8 columns of step 0 or 1 of a block.
inline Step load_step(const uint8_t* block, int step, size_t column) {
  const auto* codes = reinterpret_cast<const __m256i*>(block + step * kStep + column * 4);
  const __m256i weights = _mm256_loadu_si256(codes);
  return {weights, _mm256_abs_epi8(weights), picks(block + kPlaces + step * kColumns + column)};
}

// sum += weights times what they pick of a row's 8 inputs: magnitudes, unsigned and 128 at most,
// by activations that took the weights' signs, so that no sum of two products leaves 16 bits
// (2 * 128 * 127 < 2^15). In assembly because GCC 12 loads the inputs of all rows first and has no
// registers left.
__attribute__((always_inline)) inline __m256i meet(__m256i sum, const Step& s, const int8_t* x,
                                                   __m256i ones) {
  __m256i inputs;
  asm("vpbroadcastq %2, %1\n\tvpshufb %3, %1, %1\n\tvpsignb %4, %1, %1\n\t"
      "vpmaddubsw %1, %5, %1\n\tvpmaddwd %6, %1, %1\n\tvpaddd %1, %0, %0"
      : "+x"(sum), "=&x"(inputs)
      : "m"(*reinterpret_cast<const int64_t*>(x)), "x"(s.index), "x"(s.weights),
        "x"(s.magnitudes), "x"(ones));
  return sum;
}

// Rows of x times COUNT x 8 columns.
template <int ROWS, int COUNT>
inline void multiply_columns(const IntegerTile& t, size_t column, float* sums) {
  const auto* x = static_cast<const int8_t*>(t.codes);
  const uint8_t* block = t.panel + kHead;
  const __m256i ones = _mm256_set1_epi16(1);
  __m256i acc[ROWS][COUNT] = {};
  for (size_t k = t.padded; k; k -= kInputs, x += kInputs * ROWS, block += kBlock) {
#pragma GCC unroll 8
    for (int i = 0; i < 2 * COUNT; ++i) {
      const int step = i / COUNT, c = i % COUNT;
      const Step s = load_step(block, step, column + c * 8);
#pragma GCC unroll 8
      for (int r = 0; r < ROWS; ++r) {
        acc[r][c] = meet(acc[r][c], s, x + r * kInputs + step * 8, ones);
      }
    }
  }
#pragma GCC unroll 4
  for (int c = 0; c < COUNT; ++c) {
    const size_t to = column + c * 8;
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r) {
      const __m256 scale = _mm256_mul_ps(_mm256_loadu_ps(t.scales + to), _mm256_set1_ps(t.steps[r]));
      _mm256_store_ps(sums + r * kColumns + to, _mm256_mul_ps(_mm256_cvtepi32_ps(acc[r][c]), scale));
    }
  }
}

template <int ROWS>
struct Multiply {
  static void run(const IntegerTile& t) {
    alignas(64) float sums[ROWS * kColumns];
    constexpr int COUNT = ROWS <= 2 ? 4 : ROWS <= 4 ? 2 : 1;
    for (size_t column = 0; column < t.columns; column += COUNT * 8) {
      multiply_columns<ROWS, COUNT>(t, column, sums);
    }
    finish(t, sums);
  }
};

}  // namespace

extern const octavo::IntegerKernel int8_2of4_matmul_avx2;
const octavo::IntegerKernel int8_2of4_matmul_avx2 = {
    MOST, sizeof(int8_t), quantize<int8_t, kInputs>, by_rows<Multiply, MOST>};
