#include "csr_spmm/tile.inc"

namespace {

void run_tile(const CsrTile& t) {
  if (t.rows == 1) return run_row(t);
  if (t.rows <= 8) return run_width<Four, 2>(t);
  if (t.rows <= 16) return run_width<Four, 4>(t);
  if (t.rows <= 32) return run_width<Four, 8>(t);
  return run_width<Four, 16>(t);
}

void run_pixels(const CsrPixels& t) {
  if (t.count <= 8) return convolve_width<Four, 2>(t);
  if (t.count <= 16) return convolve_width<Four, 4>(t);
  if (t.count <= 32) return convolve_width<Four, 8>(t);
  return convolve_width<Four, 16>(t);
}

}  // namespace

extern const octavo::CsrKernel csr_spmm_neon;
const octavo::CsrKernel csr_spmm_neon = {64, run_tile, run_pixels};
