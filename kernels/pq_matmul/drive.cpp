#include <algorithm>
#include <cstring>

#include "pq_matmul/kernel.h"
#include "runtime/pool.h"

namespace octavo {
namespace {

constexpr size_t kTables = 1 << 19;  // bytes of tables at a time: half the second-level cache
constexpr double kFinePerMicrosecond = 8e4, kWidePerMicrosecond = 4e3, kProducts = 2e4;
constexpr size_t kOutputsOfTask = 512;

template <class T>
T* room(size_t count, int slot) {
  return reinterpret_cast<T*>(scratch(count * sizeof(T), slot));
}

// Rows [first, first + count) of x at panels [from, to) of the outputs.
void fine_panels(const PqMatmulKernel& kernel, const PqMatmulCall& c, const uint8_t* tables,
                 const float* steps, size_t first, size_t count, size_t from, size_t to) {
  const size_t octets = c.octets();
  const int32_t middle = int32_t(kPqMiddle * kPqOctet * octets);
  auto* sums = room<int32_t>(count * kPqPanel, 2);
  for (size_t p = from; p < to; ++p) {
    kernel.fine_sums({c.codes + p * octets * kPqPanel * 4, tables, count, octets, sums});
    const size_t n = p * kPqPanel, width = std::min(kPqPanel, c.n - n);
    for (size_t r = 0; r < count; ++r) {
      float* out = c.out + (first + r) * c.n + n;
      for (size_t i = 0; i < width; ++i) {
        const float y = float(sums[r * kPqPanel + i] - middle) * steps[r];
        out[i] = c.bias ? y + c.bias[n + i] : y;
      }
    }
  }
}

// Columns of rows [first, first + count) of x, `lanes` side by side, zeros after the last row.
const float* side_by_side(const PqMatmulCall& c, size_t first, size_t count, size_t lanes) {
  const size_t k = c.groups * c.piece;
  if (lanes == 1) return c.x + first * k;
  auto* to = room<float>(k * lanes, 0);
  for (size_t i = 0; i < k; ++i) {
    for (size_t r = 0; r < lanes; ++r) {
      to[i * lanes + r] = r < count ? c.x[(first + r) * k + i] : 0.0f;
    }
  }
  return to;
}

void wide_rows(const PqMatmulKernel& kernel, const PqMatmulCall& c, size_t first, size_t count,
               size_t lanes) {
  const float* x = side_by_side(c, first, count, lanes);
  const size_t octets = c.octets(), table = kPqOctet * kPqWide * lanes;
  const size_t step = std::max<size_t>(1, kTables / sizeof(float) / table);
  auto *tables = room<float>(step * table, 1), *sums = room<float>(c.n * lanes, 2);
  std::memset(sums, 0, c.n * lanes * sizeof(float));
  for (size_t o = 0; o < octets; o += step) {
    const size_t some = std::min(step, octets - o);
    parallel(c.threads, double(some) * kPqOctet * c.size * lanes * c.piece / kProducts, some, [&](size_t i) {
      const size_t g = (o + i) * kPqOctet;
      kernel.wide_tables({x + g * c.piece * lanes, c.books + g * c.piece * c.size,
                          std::min(kPqOctet, c.groups - g), c.piece, c.size, lanes,
                          tables + i * table});
    });
    const size_t tasks = (c.n + kOutputsOfTask - 1) / kOutputsOfTask;
    const double work = double(c.n) * some * kPqOctet / kWidePerMicrosecond;
    parallel(c.threads, work, tasks, [&](size_t task) {
      const size_t n = task * kOutputsOfTask, here = std::min(kOutputsOfTask, c.n - n);
      for (size_t i = 0; i < some; ++i) {
        kernel.wide_sums({c.codes + ((o + i) * c.n + n) * kPqOctet, tables + i * table, here, lanes,
                          sums + n * lanes});
      }
    });
  }
  for (size_t r = 0; r < count; ++r) {
    float* out = c.out + (first + r) * c.n;
    for (size_t n = 0; n < c.n; ++n) out[n] = sums[n * lanes + r] + (c.bias ? c.bias[n] : 0.0f);
  }
}

}  // namespace

void pq_matmul_fine(const PqMatmulKernel& kernel, const PqMatmulCall& c) {
  const size_t table = c.octets() * kPqOctet * kPqEntries, k = c.groups * c.piece;
  const size_t most = std::min(c.m, std::max<size_t>(4, kTables / table / 4 * 4));
  const size_t panels = (c.n + kPqPanel - 1) / kPqPanel;
  const size_t step = std::max<size_t>(1, panels / (8 * std::max(1, c.threads)));
  auto* tables = room<uint8_t>(most * table, 0);
  auto* steps = room<float>(most, 1);
  for (size_t first = 0; first < c.m; first += most) {
    const size_t count = std::min(most, c.m - first);
    parallel(c.threads, double(count) * k * kPqEntries / kProducts, count, [&](size_t r) {
      steps[r] = kernel.fine_tables({c.x + (first + r) * k, c.books, c.groups, c.piece,
                                     room<float>(c.groups * kPqEntries, 2), tables + r * table});
    });
    const double work = double(count) * c.n * c.groups / kFinePerMicrosecond;
    parallel(c.threads, work, (panels + step - 1) / step, [&](size_t task) {
      fine_panels(kernel, c, tables, steps, first, count, task * step,
                  std::min(panels, (task + 1) * step));
    });
  }
}

void pq_matmul_wide(const PqMatmulKernel& kernel, const PqMatmulCall& c) {
  for (size_t first = 0; first < c.m;) {
    const size_t left = c.m - first, lanes = left > 4 ? 16 : left > 1 ? 4 : 1;
    wide_rows(kernel, c, first, std::min(left, lanes), lanes);
    first += lanes;
  }
}

}  // namespace octavo
