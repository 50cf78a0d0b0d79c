#include "pq_matmul/kernel.h"

#include "native.h"

OCTAVO_VBMI_KERNEL(octavo::PqMatmulKernel, pq_matmul)

static void run(const octavo::PqMatmulKernel& kernel, Case& c) {
  const bool fine = c.chance(2);
  const size_t m = c.size(1, 21), n = c.size(1, 150), piece = c.size(1, 9);
  const size_t groups = c.chance(4) ? c.size(250, 300) : c.size(1, 20);
  const size_t octets = (groups + 7) / 8, size = 16 * (fine ? 1 : c.size(1, 16));
  const float *x = c.floats(m * groups * piece), *books = c.floats(groups * piece * size);
  const size_t count = octets * (fine ? (n + 63) / 64 * 64 * 4 : n * 8);
  const auto* codes = c.integers<uint8_t>(count, 0, fine ? 255 : int64_t(size) - 1);
  const float* bias = c.chance(2) ? c.floats(n) : nullptr;
  (fine ? octavo::pq_matmul_fine : octavo::pq_matmul_wide)(
      kernel, {x, codes, books, bias, m, n, groups, piece, size, c.answer<float>(m * n), c.threads});
}

OCTAVO_CHECK(pq_matmul, run)
