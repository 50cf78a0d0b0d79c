// What bind.cpp of an operation starts from: a folder with a bind.cpp is compiled and bound with no
// line elsewhere. It defines `void octavo::bind_<operation>(nanobind::module_&)`.
#pragma once
#include <nanobind/nanobind.h>

#include "runtime/dlpack.h"
#include "runtime/isa.h"

// <operation>_in_use(): the kernel of the instruction set in use, from its three files.
#if defined(__x86_64__)
#define OCTAVO_KERNEL(Kernel, operation)                                                    \
  extern const Kernel operation##_generic, operation##_avx2, operation##_avx512;            \
  static const Kernel& operation##_in_use() {                                               \
    const Kernel* const all[] = {&operation##_generic, &operation##_avx2, &operation##_avx512}; \
    return *all[int(octavo::isa_in_use)];                                                   \
  }
#else
#define OCTAVO_KERNEL(Kernel, operation) \
  extern const Kernel operation##_generic; \
  static const Kernel& operation##_in_use() { return operation##_generic; }
#endif

namespace octavo {

inline void check(bool fits, const char* what) {
  if (!fits) throw nanobind::value_error(what);
}

}  // namespace octavo
