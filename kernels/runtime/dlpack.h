// Tensors by DLPack's C exchange: a borrowed view of a Python tensor in some tens of nanoseconds.
// The declarations follow the DLPack 1.x ABI (https://dmlc.github.io/dlpack).
#pragma once
#include <nanobind/nanobind.h>

#include <cstdint>

namespace octavo {

struct View {
  char* data = nullptr;
  int32_t dims = 0;
  int64_t shape[8] = {};

  int64_t last() const { return dims ? shape[dims - 1] : 1; }
  int64_t count() const {
    int64_t n = 1;
    for (int i = 0; i < dims; ++i) n *= shape[i];
    return n;
  }
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(data);
  }
};

// View a contiguous CPU tensor whose elements are of this kind ('f' float, 'i' int, 'u' unsigned)
// and size in bytes; None gives an empty view. Throws nanobind::value_error otherwise.
View view(nanobind::handle tensor, char kind, int bytes);

struct Fresh {
  nanobind::object tensor;
  View view;
};

// A new float32 tensor of the CPU, of the type that `tensor` has; one that fits() said yes to.
Fresh empty_like(nanobind::handle tensor, const int64_t* shape, int dims);

// The same for a tensor that may be another: false where view() would throw, or torch has no
// exchange.
bool fits(nanobind::handle tensor, char kind, int bytes, View* found);

}  // namespace octavo
