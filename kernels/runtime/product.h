// A product with a packed weight, as the doors see it: how it is named and what its weight is made
// of. eager.cpp calls it from Python, registered.cpp from torch's dispatcher.
#pragma once
#include <cfloat>

#include "runtime/dlpack.h"

namespace octavo {

// One call: y = x times the packed weight, plus bias.
struct Operands {
  View x, bias, out;     // (..., k), (n,) or empty, (..., n)
  View step;             // of the activations, or empty
  View tables[3];        // the weight's tensors
  size_t sizes[3] = {};  // n, k, and what else the weight counts
  int threads = 1;

  size_t n() const { return sizes[0]; }
  size_t k() const { return sizes[1]; }
  size_t rows() const { return out.count() / out.last(); }
};

// Whether this can be a step of the activations: one float32, not below the smallest normal number,
// finite. The caller says None for a step that is found in the call.
inline bool step_fits(const View& step) {
  return step.count() == 1 && *step.as<float>() >= FLT_MIN && *step.as<float>() <= FLT_MAX;
}

struct Element {
  char kind;  // 'f' float, 'i' int, 'u' unsigned
  int bytes;
};

struct Product {
  const char* name;
  int tables;           // of a packed weight, in order; its sizes follow
  Element elements[3];  // of the tables
  int sizes;
  bool takes_step;      // after them
  void (*run)(const Operands&);  // checks the weight against x and out; without Python's lock
};

}  // namespace octavo
