#include <immintrin.h>

namespace {

typedef float Vector __attribute__((vector_size(64)));
typedef unsigned Index __attribute__((vector_size(64)));
constexpr int CHUNK = 16;

template <int GROUP>
inline Vector pick(const float* x, Index index) {
  if constexpr (GROUP == 4) {
    return Vector(_mm512_permutevar_ps(_mm512_broadcast_f32x4(_mm_loadu_ps(x)), __m512i(index)));
  } else if constexpr (GROUP == 8) {
    const __m512 twice = _mm512_broadcast_f32x8(_mm256_loadu_ps(x));
    return Vector(_mm512_permutexvar_ps(__m512i(index), twice));
  } else {
    return Vector(_mm512_permutexvar_ps(__m512i(index), _mm512_loadu_ps(x)));
  }
}

}  // namespace

#include "nm_spmm/own.inc"
#include "nm_spmm/shared.inc"

namespace {

void own_run(const NmTile& t) {
  if (t.rows <= 16) return own_rows<Vector, 1>(t);
  if (t.rows <= 32) return own_rows<Vector, 2>(t);
  return own_rows<Vector, 4>(t);
}

void own_convolve(const NmPixels& t) {
  if (t.count <= 16) return own_pixels<Vector, 1>(t);
  if (t.count <= 32) return own_pixels<Vector, 2>(t);
  return own_pixels<Vector, 4>(t);
}

}  // namespace

extern const octavo::NmKernel nm_spmm_avx512;
const octavo::NmKernel nm_spmm_avx512 = {{own_few, own_run, own_convolve},
                                         {shared_few, shared_run, shared_convolve}};
