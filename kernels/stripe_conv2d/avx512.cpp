#include <immintrin.h>

#include <cstdint>

namespace {

typedef float Vector __attribute__((vector_size(64)));
typedef __mmask16 Mask;
constexpr int MOST = 4;

inline Mask mask_of(const int32_t* lanes) {
  return _mm512_movepi32_mask(_mm512_loadu_si512(lanes));
}

inline Vector load_where(Mask inside, const float* at) {
  return (Vector)_mm512_maskz_loadu_ps(inside, at);
}

}  // namespace

#include "stripe_conv2d/tile.inc"

extern const octavo::StripeKernel stripe_conv2d_avx512;
const octavo::StripeKernel stripe_conv2d_avx512 = {run_tile};
