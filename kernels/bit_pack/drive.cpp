#include <algorithm>
#include <atomic>

#include "bit_pack/kernel.h"
#include "runtime/pool.h"
#include "runtime/stream.h"

namespace octavo {
namespace {

constexpr size_t kTask = 1 << 17;  // codes of a task; a multiple of 8
constexpr double kCodesPerMicrosecond = 2e4;

// Call body(codes, bytes, n) on runs of codes that start on a byte. Rows that fill their bytes are
// one long run.
template <class Body>
void by_runs(const BitPackCall& call, Body&& body) {
  const size_t each = 8 / call.bits;
  const bool whole = call.n % each == 0;
  const size_t rows = whole ? 1 : call.rows, n = whole ? call.rows * call.n : call.n;
  const size_t row_bytes = (n + each - 1) / each, parts = (n + kTask - 1) / kTask;
  const size_t together = std::max<size_t>(1, kTask / n);  // short rows share a task
  const size_t groups = (rows + together - 1) / together;
  parallel(call.threads, double(rows) * n / kCodesPerMicrosecond, groups * parts, [&](size_t task) {
    const size_t first = task / parts * together, from = task % parts * kTask;
    for (size_t row = first; row < std::min(rows, first + together); ++row) {
      body(call.codes + row * n + from, call.bytes + row * row_bytes + from / each,
           std::min(kTask, n - from));
    }
    stream_done();
  });
}

uint8_t half_of(const BitPackCall& call) { return call.is_signed ? 1 << (call.bits - 1) : 0; }

}  // namespace

bool bit_pack(const BitPackKernel& kernel, const BitPackCall& call) {
  std::atomic<uint8_t> over{0};
  by_runs(call, [&](uint8_t* codes, uint8_t* bytes, size_t n) {
    over.fetch_or(kernel.pack(codes, n, call.bits, half_of(call), bytes),
                  std::memory_order_relaxed);
  });
  return over.load() == 0;
}

void bit_unpack(const BitPackKernel& kernel, const BitPackCall& call) {
  const size_t whole = call.rows * call.n;
  by_runs(call, [&](uint8_t* codes, uint8_t* bytes, size_t n) {
    kernel.unpack(bytes, n, call.bits, half_of(call), codes, whole);
  });
}

}  // namespace octavo
