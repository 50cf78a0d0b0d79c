#include <arm_neon.h>

#include <cstddef>

namespace {

typedef float Vector __attribute__((vector_size(16)));
typedef unsigned Index __attribute__((vector_size(16)));
constexpr int CHUNK = 4;

// Lanes of a group by a look-up of their bytes.
template <int GROUP>
inline Vector pick(const float* x, Index index) {
  const uint8x16_t at = uint8x16_t((index & (GROUP - 1)) * 0x04040404u + 0x03020100u);
  const auto* bytes = reinterpret_cast<const uint8_t*>(x);
  if constexpr (GROUP == 4) {
    return Vector(vqtbl1q_u8(vld1q_u8(bytes), at));
  } else if constexpr (GROUP == 8) {
    return Vector(vqtbl2q_u8(vld1q_u8_x2(bytes), at));
  } else {
    return Vector(vqtbl4q_u8(vld1q_u8_x4(bytes), at));
  }
}

}  // namespace

#include "nm_spmm/own.inc"
#include "nm_spmm/shared.inc"

namespace {

void own_run(const NmTile& t) {
  if (t.rows <= 16) return own_rows<Vector, 4>(t);
  if (t.rows <= 32) return own_rows<Vector, 8>(t);
  return own_rows<Vector, 16>(t);
}

void own_convolve(const NmPixels& t) {
  if (t.count <= 16) return own_pixels<Vector, 4>(t);
  if (t.count <= 32) return own_pixels<Vector, 8>(t);
  return own_pixels<Vector, 16>(t);
}

}  // namespace

extern const octavo::NmKernel nm_spmm_neon;
const octavo::NmKernel nm_spmm_neon = {{own_few, own_run, own_convolve},
                                       {shared_few, shared_run, shared_convolve}};
