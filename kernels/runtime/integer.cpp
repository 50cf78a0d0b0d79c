#include "runtime/integer.h"

#include <algorithm>

#include "runtime/pool.h"

namespace octavo {
namespace {

constexpr double kOpsPerMicrosecond = 4e5;
constexpr double kBytesPerMicrosecond = 5e4;
constexpr size_t kTilesPerTask = 16;

size_t align(size_t bytes) { return (bytes + 63) & ~size_t{63}; }

// Rows r, r + 1, … of x: where they stand, or patches copied to this thread's memory.
const float* rows_of(const IntegerCall& call, size_t r, size_t rows) {
  if (!call.patches) return call.x + r * call.k;
  auto* to = reinterpret_cast<float*>(scratch(rows * call.k * sizeof(float), 1));
  patch_rows(*call.patches, call.x, r, rows, to);
  return to;
}

}  // namespace

void integer_matmul(const IntegerKernel& kernel, const IntegerCall& call) {
  const size_t tiles = (call.m + kernel.tile_rows - 1) / kernel.tile_rows;
  const auto first = [&](size_t tile) { return call.m * tile / tiles; };
  const size_t row_bytes = call.padded * kernel.code_bytes;
  const size_t code_room = align(call.m * row_bytes), group_room = align(call.m * call.groups * 4);
  char* codes = scratch(code_room + 2 * group_room);
  auto* steps = reinterpret_cast<float*>(codes + code_room);
  auto* sums = reinterpret_cast<int32_t*>(codes + code_room + group_room);

  parallel(call.threads, call.m * call.k / 4e3, tiles, [&](size_t tile) {
    const size_t r = first(tile), rows = first(tile + 1) - r, at = r * call.groups;
    kernel.quantize({rows_of(call, r, rows), rows, call.k, call.padded, call.group, call.groups,
                     codes + r * row_bytes, steps + at, sums + at, call.step});
  });

  const size_t panels = (call.n + kColumns - 1) / kColumns;
  const size_t parts = (tiles + kTilesPerTask - 1) / kTilesPerTask;
  const double cost = 2.0 * call.m * call.n * call.padded / kOpsPerMicrosecond +
                      panels * call.panel_bytes / kBytesPerMicrosecond;
  parallel(call.threads, cost, panels * parts, [&](size_t task) {
    const size_t panel = task / parts, part = task % parts, column = panel * kColumns;
    for (size_t tile = tiles * part / parts; tile < tiles * (part + 1) / parts; ++tile) {
      const size_t r = first(tile), at = r * call.groups;
      kernel.multiply({codes + r * row_bytes, steps + at, sums + at, first(tile + 1) - r,
                       call.padded, call.group, call.groups,
                       call.codes + panel * call.panel_bytes,
                       call.scales + panel * call.groups * kColumns,
                       call.bias ? call.bias + column : nullptr, call.out + r * call.n + column,
                       call.n, std::min(kColumns, call.n - column)});
    }
  });
}

}  // namespace octavo
