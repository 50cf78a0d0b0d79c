#include "int8_2of4_matmul/kernel.h"

#include "integer.h"

OCTAVO_VNNI_KERNEL(octavo::IntegerKernel, int8_2of4_matmul)

namespace {

using namespace octavo::two_of_four;

// A panel's head belongs to its codes.
void fill_head(uint8_t* panel, size_t blocks) {
  for (size_t column = 0; column < octavo::kColumns; ++column) {
    int32_t sum = 0;
    for (size_t i = 0; i < blocks * 8; ++i) {
      const size_t at = kHead + i / 8 * kBlock + i % 8 / 4 * kStep + column * 4 + i % 4;
      sum -= 128 * int8_t(panel[at]);
    }
    std::memcpy(panel + column * 4, &sum, sizeof sum);
  }
}

void run(const octavo::IntegerKernel& kernel, Case& c) {
  const bool exact = c.chance(2);
  const size_t m = c.size(1, c.chance(3) ? 160 : 20), k = c.size(1, 600), n = c.size(1, 140);
  const size_t padded = (k + kInputs - 1) / kInputs * kInputs, bytes = panel_bytes(padded);
  const size_t panels = (n + octavo::kColumns - 1) / octavo::kColumns;
  const float* x = activations(c, exact, m, k, k);
  auto* codes = c.integers<uint8_t>(panels * bytes, 0, 255);
  for (size_t p = 0; p < panels; ++p) fill_head(codes + p * bytes, padded / kInputs);
  float* scales = c.floats(panels * octavo::kColumns);
  const float* bias = c.chance(2) ? c.floats(n) : nullptr;
  float* out = c.answer<float>(m * n);
  octavo::integer_matmul(kernel, {x, nullptr, m, k, n, padded, padded, 1, bytes, codes, scales,
                                  bias, out, c.threads});
}

}  // namespace

OCTAVO_CHECK(int8_2of4_matmul, run)
