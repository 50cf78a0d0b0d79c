#include "hadamard/kernel.h"
#include "native.h"

OCTAVO_KERNEL(octavo::HadamardKernel, hadamard)

static void run(const octavo::HadamardKernel& kernel, Case& c) {
  const size_t rows = c.size(1, 9), d = size_t{1} << c.size(0, 12);
  float* x = c.floats(rows * d);
  octavo::hadamard(kernel, {x, c.answer<float>(rows * d, 1e-6), rows, d, 0.3f, c.threads});
}

OCTAVO_CHECK(hadamard, run)
