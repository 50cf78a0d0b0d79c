#include "csr_spmm/tile.inc"

namespace {

typedef float Eight __attribute__((vector_size(32)));
typedef float Sixteen __attribute__((vector_size(64)));

void run_tile(const CsrTile& t) {
  if (t.rows == 1) return run_row(t);
  if (t.rows <= 8) return run_width<Eight, 1>(t);
  if (t.rows <= 16) return run_width<Sixteen, 1>(t);
  if (t.rows <= 32) return run_width<Sixteen, 2>(t);
  return run_width<Sixteen, 4>(t);
}

void run_pixels(const CsrPixels& t) {
  if (t.count <= 8) return convolve_width<Eight, 1>(t);
  if (t.count <= 16) return convolve_width<Sixteen, 1>(t);
  if (t.count <= 32) return convolve_width<Sixteen, 2>(t);
  return convolve_width<Sixteen, 4>(t);
}

}  // namespace

extern const octavo::CsrKernel csr_spmm_avx512;
const octavo::CsrKernel csr_spmm_avx512 = {64, run_tile, run_pixels};
