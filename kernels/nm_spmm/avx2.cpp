#include <immintrin.h>

namespace {

typedef float Vector __attribute__((vector_size(32)));
typedef unsigned Index __attribute__((vector_size(32)));
constexpr int CHUNK = 4;

template <int GROUP>
inline Vector pick(const float* x, Index index) {
  if constexpr (GROUP == 4) {
    return Vector(_mm256_permutevar_ps(_mm256_broadcast_ps(reinterpret_cast<const __m128*>(x)),
                                       __m256i(index)));
  } else if constexpr (GROUP == 8) {
    return Vector(_mm256_permutevar8x32_ps(_mm256_loadu_ps(x), __m256i(index)));
  } else {  // bit 3 of the index says which half
    const __m256 low = _mm256_permutevar8x32_ps(_mm256_loadu_ps(x), __m256i(index));
    const __m256 high = _mm256_permutevar8x32_ps(_mm256_loadu_ps(x + 8), __m256i(index));
    return Vector(_mm256_blendv_ps(low, high, __m256(__m256i(index << 28))));
  }
}

}  // namespace

#include "nm_spmm/own.inc"
#include "nm_spmm/shared.inc"

namespace {

void own_run(const NmTile& t) {
  if (t.rows <= 16) return own_rows<Vector, 2>(t);
  if (t.rows <= 32) return own_rows<Vector, 4>(t);
  return own_rows<Vector, 8>(t);
}

void own_convolve(const NmPixels& t) {
  if (t.count <= 16) return own_pixels<Vector, 2>(t);
  if (t.count <= 32) return own_pixels<Vector, 4>(t);
  return own_pixels<Vector, 8>(t);
}

}  // namespace

extern const octavo::NmKernel nm_spmm_avx2;
const octavo::NmKernel nm_spmm_avx2 = {{own_few, own_run, own_convolve},
                                       {shared_few, shared_run, shared_convolve}};
