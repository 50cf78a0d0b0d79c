#include <immintrin.h>

#include <cstdint>

namespace {

typedef float Vector __attribute__((vector_size(64)));
typedef int Bits __attribute__((vector_size(64)));
typedef uint64_t Words __attribute__((vector_size(64)));
constexpr int MOST = 4;

// Four bits at a time from a table, then the bytes of a number summed.
inline Words ones(Words x) {
  const __m512i table = _mm512_broadcast_i32x4(
      _mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
  const __m512i low = _mm512_set1_epi8(15);
  const __m512i a = _mm512_and_si512(__m512i(x), low), b = _mm512_and_si512(__m512i(x >> 4), low);
  const __m512i counts =
      _mm512_add_epi8(_mm512_shuffle_epi8(table, a), _mm512_shuffle_epi8(table, b));
  return Words(_mm512_sad_epu8(counts, _mm512_setzero_si512()));
}

}  // namespace

#include "cluster_attention/tile.inc"

extern const octavo::ClusterKernel cluster_attention_avx512;
const octavo::ClusterKernel cluster_attention_avx512 = {assign, count, attend};
