#include "kmeans_assign/kernel.h"

#include <algorithm>

#include "native.h"

OCTAVO_KERNEL(octavo::KmeansKernel, kmeans_assign)

// Whole numbers: distances are exact, so that no rounding turns a tie.
static void run(const octavo::KmeansKernel& kernel, Case& c) {
  const size_t d = c.chance(2) ? 0 : c.size(1, 19), k = c.size(1, c.chance(3) ? 600 : 256);
  const size_t n = c.size(1, 400), width = d ? d : 1;
  const float* x = c.whole_floats(n * width, 50);
  float* centroids = c.whole_floats(k * width, 50);
  if (!d) std::sort(centroids, centroids + k);
  auto* bytes = k <= 256 ? c.answer<uint8_t>(n) : nullptr;
  auto* words = k <= 256 ? nullptr : c.answer<int32_t>(n);
  octavo::kmeans_assign(kernel, {x, n, d, centroids, k, bytes, words, c.threads});
}

OCTAVO_CHECK(kmeans_assign, run)
