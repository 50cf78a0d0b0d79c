// Rows of the Walsh-Hadamard transform.
#pragma once
#include <cstddef>

namespace octavo {

struct HadamardKernel {
  // y (rows, d) = scale * x (rows, d) H, d a power of two.
  void (*run)(const float* x, float* y, size_t rows, size_t d, float scale);
};

struct HadamardCall {
  const float* x;
  float* y;
  size_t rows, d;
  float scale;
  int threads;
};

void hadamard(const HadamardKernel& kernel, const HadamardCall& call);

}  // namespace octavo
