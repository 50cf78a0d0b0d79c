#include <immintrin.h>

namespace {

typedef float Vector __attribute__((vector_size(64)));
constexpr int CHAINS = 12;

}  // namespace

#define KEEP(v) asm volatile("" : "+v"(v))
#include "roofline/tile.inc"

namespace {

constexpr double kBytes = sizeof(Vector) * double(CHAINS);

// Four products and their sum in a lane, 2 operations a byte.
void spin_vnni(size_t rounds) {
  __m512i x = _mm512_set1_epi8(3);
  KEEP(x);
  chains(_mm512_setzero_si512(), rounds, [&](__m512i v) {
    asm volatile("vpdpbusd %1, %1, %0" : "+v"(v) : "v"(x));
    return v;
  });
}

// |x - w| and its sum over 8 bytes, 2 operations a byte.
void spin_sad(size_t rounds) {
  __m512i x = _mm512_set1_epi8(3);
  KEEP(x);
  chains(x, rounds, [&](__m512i v) { return _mm512_sad_epu8(v, x); });
}

// One look-up a byte.
void spin_shuffle(size_t rounds) {
  __m512i x = _mm512_set1_epi8(3);
  KEEP(x);
  chains(x, rounds, [&](__m512i v) { return _mm512_shuffle_epi8(x, v); });
}

// Bits that agree, counted: 2 operations a bit, as a product and its sum.
void spin_popcount(size_t rounds) {
  chains(_mm512_set1_epi8(3), rounds, [&](__m512i v) {
    asm volatile("vpopcntq %0, %0" : "+v"(v));
    return v;
  });
}

}  // namespace

extern const octavo::RooflineKernel roofline_avx512;
const octavo::RooflineKernel roofline_avx512 = {{{spin_fma, kFloatOperations},
                                                 {spin_vnni, 2 * kBytes, "avx512vnni"},
                                                 {spin_fadd, kFloatOperations},
                                                 {spin_sad, 2 * kBytes},
                                                 {spin_shuffle, kBytes},
                                                 {spin_popcount, 16 * kBytes, "avx512vpopcntdq"}},
                                                read};
