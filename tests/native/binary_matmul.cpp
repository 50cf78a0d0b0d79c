#include "binary_matmul/kernel.h"

#include "integer.h"

OCTAVO_VNNI_KERNEL(octavo::IntegerKernel, binary_matmul)
OCTAVO_POPCOUNT_KERNEL(octavo::SignsKernel, xnor_matmul)

static void run(const octavo::IntegerKernel& kernel, Case& c) {
  check_integer(kernel, c, {32, 8, false});
}

// Floats, or words behind their mean; the means too are the same on every instruction set.
static void run_signs(const octavo::SignsKernel& kernel, Case& c) {
  const bool packed = c.chance(2);
  const size_t m = c.size(1, 70), k = c.size(1, 300), n = c.size(1, 140);
  const size_t words = (k + 31) / 32, padded = words * 32, panels = (n + 63) / 64;
  const float* x = c.floats(m * (packed ? words + 1 : k));
  const auto* codes = c.integers<uint8_t>(panels * padded * 8, 0, 255);
  const float *scales = c.floats(panels * 64), *bias = c.chance(2) ? c.floats(n) : nullptr;
  float* out = c.answer<float>(m * n);
  octavo::integer_matmul(packed ? kernel.words : kernel.floats,
                         {x, nullptr, m, packed ? words + 1 : k, n, padded, packed ? k : padded, 1,
                          padded * 8, codes, scales, bias, out, c.threads});
}

OCTAVO_CHECK(binary_matmul, run)
OCTAVO_CHECK(xnor_matmul, run_signs)
