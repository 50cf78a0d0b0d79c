#define OCTAVO_LANES 4
#include "runtime/finish.inc"
#include "runtime/quantize.inc"

namespace {

constexpr int OFFSET = 8;

void multiply(const IntegerTile& t) {
  float sums[4 * kColumns] = {};
  const auto* x = static_cast<const int8_t*>(t.codes);
  const uint8_t* panel = t.panel;
  for (size_t g = 0; g < t.groups; ++g) {
    int32_t acc[4 * kColumns] = {};
    for (size_t k = 0; k < inputs_of_group(t, g); k += 8, x += 8 * t.rows, panel += 4 * kColumns) {
      for (size_t r = 0; r < t.rows; ++r) {
        const int8_t *low = x + r * 4, *high = x + (t.rows + r) * 4;
        for (size_t c = 0; c < kColumns; ++c) {
          for (size_t i = 0; i < 4; ++i) {
            const int code = panel[c * 4 + i];
            acc[r * kColumns + c] += (code & 15) * low[i] + (code >> 4) * high[i];
          }
        }
      }
    }
    for (size_t r = 0; r < t.rows; ++r) {
      const size_t at = r * t.groups + g;
      for (size_t c = 0; c < kColumns; ++c) {
        const float sum = acc[r * kColumns + c] - OFFSET * t.sums[at];
        sums[r * kColumns + c] += sum * (t.steps[at] * t.scales[g * kColumns + c]);
      }
    }
  }
  finish(t, sums);
}

}  // namespace

extern const octavo::IntegerKernel int4_matmul_generic;
const octavo::IntegerKernel int4_matmul_generic = {4, sizeof(int8_t), quantize<int8_t>, multiply};
