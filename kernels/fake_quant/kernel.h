// One span of elements of fake_quant, forward and backward.
#pragma once
#include <cstddef>

namespace octavo {

constexpr size_t kSpan = 4096;  // elements a call of the kernel takes: its sums are short

struct FakeQuantSpan {
  const float *x, *grad;  // grad: backward only
  float* y;               // forward: the answer; backward: the gradient of x
  size_t n;
  const float* scale;     // one, or n of them
  float low, high;        // bounds of the code less the zero code
  size_t whole;           // bytes of the whole answer
};

struct FakeQuantKernel {
  void (*forward)(const FakeQuantSpan&);
  void (*forward_each)(const FakeQuantSpan&);                // a scale an element
  double (*backward)(const FakeQuantSpan&);                  // returns the gradient of the scale
  void (*backward_each)(const FakeQuantSpan&, float* sums);  // adds to the n gradients of scales
};

struct FakeQuantCall {
  const float *x, *grad, *scale;
  float *y, *to_scale;             // to_scale: (channels,), backward only
  size_t outer, channels, inner;   // the shape of x around the axis of the scales
  float low, high;
  int threads;
};

void fake_quant(const FakeQuantKernel& kernel, const FakeQuantCall& call);
void fake_quant_backward(const FakeQuantKernel& kernel, const FakeQuantCall& call);

}  // namespace octavo
