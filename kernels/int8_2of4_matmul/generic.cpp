#include "int8_2of4_matmul/kernel.h"
#define OCTAVO_LANES 4
#include "runtime/finish.inc"
#include "runtime/quantize.inc"

namespace {

using namespace octavo::two_of_four;

void multiply(const IntegerTile& t) {
  int32_t acc[4 * kColumns] = {};
  float sums[4 * kColumns];
  const auto* x = static_cast<const int8_t*>(t.codes);
  const uint8_t* block = t.panel + kHead;
  for (size_t k = 0; k < t.padded; k += kInputs, x += kInputs * t.rows, block += kBlock) {
    for (size_t step = 0; step < 2; ++step) {
      for (size_t c = 0; c < kColumns; ++c) {
        const auto* code = reinterpret_cast<const int8_t*>(block + step * kStep + c * 4);
        const unsigned places = block[kPlaces + step * kColumns + c];
        for (size_t i = 0; i < 4; ++i) {
          const size_t at = step * 8 + i / 2 * 4 + (places >> (2 * i) & 3);
          for (size_t r = 0; r < t.rows; ++r) acc[r * kColumns + c] += code[i] * x[r * kInputs + at];
        }
      }
    }
  }
  for (size_t r = 0; r < t.rows; ++r) {
    for (size_t c = 0; c < kColumns; ++c) {
      sums[r * kColumns + c] = float(acc[r * kColumns + c]) * (t.steps[r] * t.scales[c]);
    }
  }
  finish(t, sums);
}

}  // namespace

extern const octavo::IntegerKernel int8_2of4_matmul_generic;
const octavo::IntegerKernel int8_2of4_matmul_generic = {4, sizeof(int8_t),
                                                        quantize<int8_t, kInputs>, multiply};
