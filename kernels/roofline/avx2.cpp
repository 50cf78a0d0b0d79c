#include <immintrin.h>

namespace {

typedef float Vector __attribute__((vector_size(32)));
constexpr int CHAINS = 10;

}  // namespace

#define KEEP(v) asm volatile("" : "+x"(v))
#include "roofline/tile.inc"

namespace {

constexpr double kBytes = sizeof(Vector) * double(CHAINS);

// Without vpdpbusd: pairs, fours, and the sum, 2 operations a byte.
void spin_int8(size_t rounds) {
  __m256i x = _mm256_set1_epi8(3), ones = _mm256_set1_epi16(1);
  KEEP(x);
  KEEP(ones);
  chains(_mm256_setzero_si256(), rounds, [&](__m256i v) {
    __m256i pairs;
    asm volatile("vpmaddubsw %1, %1, %0" : "=x"(pairs) : "x"(x));
    asm volatile("vpmaddwd %1, %0, %0" : "+x"(pairs) : "x"(ones));
    return _mm256_add_epi32(v, pairs);
  });
}

// |x - w| and its sum over 8 bytes, 2 operations a byte.
void spin_sad(size_t rounds) {
  __m256i x = _mm256_set1_epi8(3);
  KEEP(x);
  chains(x, rounds, [&](__m256i v) { return _mm256_sad_epu8(v, x); });
}

// One look-up a byte.
void spin_shuffle(size_t rounds) {
  __m256i x = _mm256_set1_epi8(3);
  KEEP(x);
  chains(x, rounds, [&](__m256i v) { return _mm256_shuffle_epi8(x, v); });
}

}  // namespace

extern const octavo::RooflineKernel roofline_avx2;
const octavo::RooflineKernel roofline_avx2 = {{{spin_fma, kFloatOperations},
                                               {spin_int8, 2 * kBytes},
                                               {spin_fadd, kFloatOperations},
                                               {spin_sad, 2 * kBytes},
                                               {spin_shuffle, kBytes},
                                               {}},
                                              read};
