#define OCTAVO_LANES 4
#include "runtime/finish.inc"
#include "runtime/quantize.inc"

namespace {

constexpr int OFFSET = 128;

void multiply(const IntegerTile& t) {
  int32_t acc[4 * kColumns] = {};
  float sums[4 * kColumns];
  const auto* x = static_cast<const int8_t*>(t.codes);
  const uint8_t* panel = t.panel;
  for (size_t k = 0; k < t.padded; k += 4, x += 4 * t.rows, panel += 4 * kColumns) {
    for (size_t r = 0; r < t.rows; ++r) {
      for (size_t c = 0; c < kColumns; ++c) {
        for (size_t i = 0; i < 4; ++i) acc[r * kColumns + c] += panel[c * 4 + i] * x[r * 4 + i];
      }
    }
  }
  for (size_t r = 0; r < t.rows; ++r) {
    for (size_t c = 0; c < kColumns; ++c) {
      const float sum = acc[r * kColumns + c] - OFFSET * t.sums[r];
      sums[r * kColumns + c] = sum * (t.steps[r] * t.scales[c]);
    }
  }
  finish(t, sums);
}

}  // namespace

extern const octavo::IntegerKernel int8_matmul_generic;
const octavo::IntegerKernel int8_matmul_generic = {4, sizeof(int8_t), quantize<int8_t>, multiply};
