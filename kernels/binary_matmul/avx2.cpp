// Weights of +1 and -1: a bit u stands for 2 u - 1.
#include <immintrin.h>

namespace {

constexpr int BITS = 1, FACTOR = 2, OFFSET = 1;

typedef unsigned Vector __attribute__((vector_size(32)));
constexpr unsigned long WORDS = 31;  // 31 * 8 < 2^8
constexpr int ROWS_OF_SIGNS = 4;

constexpr int count_of(int rows) { return rows == 1 ? 4 : rows == 2 ? 2 : 1; }

// Bytes: how many bits are set in each nibble, by table.
inline Vector add_count(Vector sum, Vector bits) {
  const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,
                                         0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
  const __m256i all = __m256i(bits), nibble = _mm256_set1_epi8(15);
  const __m256i low = _mm256_shuffle_epi8(table, _mm256_and_si256(all, nibble));
  const __m256i high =
      _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(all, 4), nibble));
  return Vector(_mm256_add_epi8(_mm256_add_epi8(__m256i(sum), low), high));
}

inline Vector widen(Vector sum) {
  const __m256i pairs = _mm256_maddubs_epi16(__m256i(sum), _mm256_set1_epi8(1));
  return Vector(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

}  // namespace

#include "runtime/fields_avx2.inc"
#include "binary_matmul/kernel.h"
#include "binary_matmul/tile.inc"

extern const octavo::IntegerKernel binary_matmul_avx2;
const octavo::IntegerKernel binary_matmul_avx2 = {MOST, sizeof(int8_t), quantize<int8_t>,
                                                  by_rows<Multiply, MOST>};
extern const octavo::SignsKernel xnor_matmul_avx2;
const octavo::SignsKernel xnor_matmul_avx2 = {kSigns, kWords};
