#include <immintrin.h>

#include <cstdint>

namespace {

typedef float Vector __attribute__((vector_size(32)));
typedef int Bits __attribute__((vector_size(32)));
typedef uint64_t Words __attribute__((vector_size(32)));
constexpr int MOST = 2;

// Four bits at a time from a table, then the bytes of a number summed.
inline Words ones(Words x) {
  const __m256i table = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
  const __m256i low = _mm256_set1_epi8(15);
  const __m256i a = _mm256_and_si256(__m256i(x), low), b = _mm256_and_si256(__m256i(x >> 4), low);
  const __m256i counts =
      _mm256_add_epi8(_mm256_shuffle_epi8(table, a), _mm256_shuffle_epi8(table, b));
  return Words(_mm256_sad_epu8(counts, _mm256_setzero_si256()));
}

}  // namespace

#include "cluster_attention/tile.inc"

extern const octavo::ClusterKernel cluster_attention_avx2;
const octavo::ClusterKernel cluster_attention_avx2 = {assign, count, attend};
