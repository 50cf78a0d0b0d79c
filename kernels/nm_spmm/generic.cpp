#include <cstddef>
#include <cstdint>

namespace {

typedef float Vector __attribute__((vector_size(16)));
typedef unsigned Index __attribute__((vector_size(16)));
constexpr int CHUNK = 2;

template <int GROUP>
inline Vector pick(const float* x, Index index) {
  const Index at = index & (GROUP - 1);
  return Vector{x[at[0]], x[at[1]], x[at[2]], x[at[3]]};
}

}  // namespace

#include "nm_spmm/own.inc"
#include "nm_spmm/shared.inc"

namespace {

// 64 rows are 16 vectors: half of them at a time stay in registers.
void own_run(const NmTile& t) {
  if (t.rows <= 16) return own_rows<Vector, 4>(t);
  const size_t half = t.rows <= 32 ? t.rows : 32;
  own_rows<Vector, 8>({t.w, t.x, t.stride, half, t.first, t.last, t.out, t.room});
  if (half == t.rows) return;
  own_run({t.w, t.x + half * t.stride, t.stride, t.rows - half, t.first, t.last,
           t.out + half * t.w.n, t.room});
}

void own_convolve(const NmPixels& t) {
  if (t.count <= 16) return own_pixels<Vector, 4>(t);
  const size_t half = t.count <= 32 ? t.count : 32;
  own_pixels<Vector, 8>({t.w, t.g, t.image, t.first, half, t.out, t.room});
  if (half == t.count) return;
  own_convolve({t.w, t.g, t.image, t.first + half, t.count - half, t.out, t.room});
}

}  // namespace

extern const octavo::NmKernel nm_spmm_generic;
const octavo::NmKernel nm_spmm_generic = {{own_few, own_run, own_convolve},
                                          {shared_few, shared_run, shared_convolve}};
