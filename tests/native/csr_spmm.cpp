#include "csr_spmm/kernel.h"

#include "convolution.h"

OCTAVO_KERNEL(octavo::CsrKernel, csr_spmm)

namespace {

octavo::Csr weight(Case& c, size_t n, size_t k) {
  const size_t block = c.chance(2) ? 128 : c.chance(2) ? 256 : 32;
  const size_t blocks = (k + block - 1) / block;
  std::vector<uint8_t> columns;
  std::vector<int32_t> starts;
  for (size_t b = 0; b < blocks; ++b) {
    for (size_t output = 0; output < n; ++output) {
      starts.push_back(int32_t(columns.size()));
      for (size_t column = 0; column < block && b * block + column < k; ++column) {
        if (c.chance(4)) columns.push_back(uint8_t(column));
      }
    }
    starts.push_back(int32_t(columns.size()));
  }
  const size_t kept = columns.size();
  const float* values = c.floats(kept);
  const float* bias = c.chance(2) ? c.floats(n) : nullptr;
  return {n, k, block, blocks, kept, values, c.copy(columns), c.copy(starts), bias};
}

void run(const octavo::CsrKernel& kernel, Case& c) {
  const size_t m = c.size(1, 140), k = c.size(1, 300), n = c.size(1, 40);
  const octavo::Csr w = weight(c, n, k);
  const float* x = c.floats(m * k);
  octavo::csr_spmm(kernel, w, x, m, c.answer<float>(m * n, 1e-5), c.threads);

  const octavo::Geometry g = geometry(c, 20);
  const octavo::Csr filters = weight(c, n, g.patch());
  const float* images = c.floats(2 * input_size(g));
  float* out = c.answer<float>(2 * n * g.pixels(), 1e-5);
  octavo::csr_conv2d(kernel, filters, g, images, 2, out, c.threads);
}

}  // namespace

OCTAVO_CHECK(csr_spmm, run)
