#include "csr_spmm/tile.inc"

namespace {

void run_tile(const CsrTile& t) {
  if (t.rows == 1) return run_row(t);
  if (t.rows <= 8) return run_width<Four, 2>(t);
  if (t.rows <= 16) return run_width<Four, 4>(t);
  return run_width<Four, 8>(t);
}

void run_pixels(const CsrPixels& t) {
  if (t.count <= 8) return convolve_width<Four, 2>(t);
  if (t.count <= 16) return convolve_width<Four, 4>(t);
  return convolve_width<Four, 8>(t);
}

}  // namespace

extern const octavo::CsrKernel csr_spmm_generic;
const octavo::CsrKernel csr_spmm_generic = {32, run_tile, run_pixels};
