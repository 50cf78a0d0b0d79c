#include "native.h"
#include "pq_embedding/kernel.h"

OCTAVO_KERNEL(octavo::PqKernel, pq_embedding)

static void run(const octavo::PqKernel& kernel, Case& c) {
  const size_t table = c.size(1, 99), groups = c.size(1, 33), size = c.size(1, 256);
  const size_t piece = c.chance(2) ? size_t{1} << c.size(0, 5) : c.size(1, 40);
  const size_t rows = c.seed ? c.size(1, 70) : (size_t{5} << 20) / (groups * piece * 4);
  const auto* ids = c.integers<int64_t>(rows, 0, int64_t(table) - 1);
  const auto* codes = c.integers<uint8_t>(table * groups, 0, int64_t(size) - 1);
  const float* books = c.floats(groups * size * piece);
  const size_t count = rows * groups * piece;
  octavo::pq_embedding(kernel, {ids, rows, codes, books, groups, size, piece,
                                c.answer<float>(count), count * sizeof(float)}, c.threads);
}

OCTAVO_CHECK(pq_embedding, run)
