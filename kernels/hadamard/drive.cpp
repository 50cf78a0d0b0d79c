#include <algorithm>

#include "hadamard/kernel.h"
#include "runtime/pool.h"

namespace octavo {
namespace {

constexpr size_t kTask = 1 << 15;  // elements of a task
constexpr double kFloatsPerMicrosecond = 3e3;

}  // namespace

void hadamard(const HadamardKernel& kernel, const HadamardCall& call) {
  const size_t step = std::max<size_t>(1, kTask / call.d), d = call.d;
  const double cost = double(call.rows) * d / kFloatsPerMicrosecond;
  parallel(call.threads, cost, (call.rows + step - 1) / step, [&](size_t task) {
    const size_t row = task * step, rows = std::min(step, call.rows - row);
    kernel.run(call.x + row * d, call.y + row * d, rows, d, call.scale);
  });
}

}  // namespace octavo
