#include <algorithm>
#include <vector>

#include "fake_quant/kernel.h"
#include "runtime/pool.h"
#include "runtime/stream.h"

namespace octavo {
namespace {

constexpr size_t kTask = 1 << 16;             // elements of a task, of any number of threads
constexpr double kFloatsPerMicrosecond = 3e3;

// Call body(task, first, last) on runs of rows that make a task.
template <class Body>
void by_rows(const FakeQuantCall& call, size_t rows, size_t length, Body&& body) {
  const size_t step = std::max<size_t>(1, kTask / std::max<size_t>(1, length));
  const size_t tasks = (rows + step - 1) / step;
  parallel(call.threads, double(rows) * length / kFloatsPerMicrosecond, tasks, [&](size_t task) {
    body(task, task * step, std::min(rows, (task + 1) * step));
    stream_done();
  });
}

FakeQuantSpan span_of(const FakeQuantCall& call, size_t at, size_t n, const float* scale) {
  return {call.x + at, call.grad ? call.grad + at : nullptr, call.y + at, n, scale, call.low,
          call.high, call.outer * call.channels * call.inner * sizeof(float)};
}

// The spans of an array cut in rows of `inner`: how many a row has.
size_t spans_of(size_t inner) { return (inner + kSpan - 1) / kSpan; }

// Call body(span, its index) on every span of one scale.
template <class Body>
void by_spans(const FakeQuantCall& call, Body&& body) {
  const size_t each = spans_of(call.inner), spans = call.outer * call.channels * each;
  by_rows(call, spans, std::min(call.inner, kSpan), [&](size_t, size_t first, size_t last) {
    for (size_t s = first; s < last; ++s) {
      const size_t row = s / each, from = s % each * kSpan;
      const size_t n = std::min(kSpan, call.inner - from);
      body(span_of(call, row * call.inner + from, n, call.scale + row % call.channels), s);
    }
  });
}

bool scale_each(const FakeQuantCall& call) { return call.inner == 1 && call.channels > 1; }

}  // namespace

void fake_quant(const FakeQuantKernel& kernel, const FakeQuantCall& call) {
  if (scale_each(call)) {
    by_rows(call, call.outer, call.channels, [&](size_t, size_t first, size_t last) {
      for (size_t r = first; r < last; ++r) {
        kernel.forward_each(span_of(call, r * call.channels, call.channels, call.scale));
      }
    });
  } else {
    by_spans(call, [&](const FakeQuantSpan& span, size_t) { kernel.forward(span); });
  }
}

// Partial sums stand by task or span, never by thread, and are added in order: the number of
// threads does not change a bit.
void fake_quant_backward(const FakeQuantKernel& kernel, const FakeQuantCall& call) {
  std::vector<double> total(call.channels, 0.0);
  if (scale_each(call)) {
    const size_t step = std::max<size_t>(1, kTask / call.channels);
    std::vector<float> parts((call.outer + step - 1) / step * call.channels, 0.0f);
    by_rows(call, call.outer, call.channels, [&](size_t task, size_t first, size_t last) {
      for (size_t r = first; r < last; ++r) {
        kernel.backward_each(span_of(call, r * call.channels, call.channels, call.scale),
                             parts.data() + task * call.channels);
      }
    });
    for (size_t i = 0; i < parts.size(); ++i) total[i % call.channels] += parts[i];
  } else {
    const size_t each = spans_of(call.inner);
    std::vector<double> parts(call.outer * call.channels * each);
    by_spans(call, [&](const FakeQuantSpan& span, size_t s) { parts[s] = kernel.backward(span); });
    for (size_t s = 0; s < parts.size(); ++s) total[s / each % call.channels] += parts[s];
  }
  for (size_t c = 0; c < call.channels; ++c) call.to_scale[c] = float(total[c]);
}

}  // namespace octavo
