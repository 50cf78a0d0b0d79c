#include <algorithm>

#include "pq_embedding/kernel.h"
#include "runtime/pool.h"
#include "runtime/stream.h"

namespace octavo {
namespace {

constexpr size_t kTask = 1 << 16;  // floats of a task
constexpr double kFloatsPerMicrosecond = 5e3;

}  // namespace

void pq_embedding(const PqKernel& kernel, const PqRows& all, int threads) {
  const size_t d = all.groups * all.piece, step = std::max<size_t>(1, kTask / d);
  const double cost = double(all.rows) * d / kFloatsPerMicrosecond;
  parallel(threads, cost, (all.rows + step - 1) / step, [&](size_t task) {
    PqRows some = all;
    some.ids += task * step;
    some.out += task * step * d;
    some.rows = std::min(step, all.rows - task * step);
    kernel.run(some);
    stream_done();
  });
}

}  // namespace octavo
