// What bind.cpp of an operation starts from. To add a kernel, add its folder; the build finds it:
//   kernel.h      struct Kernel, the pointers that differ by instruction set, and the call's sizes
//   generic.cpp avx2.cpp avx512.cpp   each `extern const Kernel <operation>_<isa>`, all else static;
//                 they share a tile.inc, so a new instruction set is a dozen lines
//   drive.cpp     cuts the call into tasks for the pool (runtime/pool.h); optional
//   bind.cpp      OCTAVO_KERNEL(Kernel, <operation>), then `void octavo::bind_<operation>` checks
//                 sizes with check(), takes pointers with view() and calls <operation>_in_use()
//   __init__.py   equation, reference(), the function, and define() of runtime/operation.py, which
//                 registers it with torch
//   bars.py       cases(quick): what it must beat, run by kernels/bars.py and the tests
// kernels/__init__.py exports it by name, and loads its packed format if it has one.
#pragma once
#include <nanobind/nanobind.h>

#include "runtime/dlpack.h"
#include "runtime/isa.h"

// <operation>_in_use(): the kernel of the instruction set in use, from its three files.
#define OCTAVO_KERNEL(Kernel, operation) OCTAVO_KERNEL_OF(Kernel, operation, isa_in_use)
// The same where avx512.cpp takes VNNI: an AVX-512 CPU without it runs avx2.cpp.
#define OCTAVO_VNNI_KERNEL(Kernel, operation) OCTAVO_KERNEL_OF(Kernel, operation, vnni_in_use)
// The same where it takes VNNI and VBMI.
#define OCTAVO_VBMI_KERNEL(Kernel, operation) OCTAVO_KERNEL_OF(Kernel, operation, vbmi_in_use)

#if defined(__x86_64__)
#define OCTAVO_KERNEL_OF(Kernel, operation, isa)                                            \
  extern const Kernel operation##_generic, operation##_avx2, operation##_avx512;            \
  static const Kernel& operation##_in_use() {                                               \
    const Kernel* const all[] = {&operation##_generic, &operation##_avx2, &operation##_avx512}; \
    return *all[int(octavo::isa)];                                                          \
  }
#else
#define OCTAVO_KERNEL_OF(Kernel, operation, isa) \
  extern const Kernel operation##_generic;       \
  static const Kernel& operation##_in_use() { return operation##_generic; }
#endif

namespace octavo {

inline void check(bool fits, const char* what) {
  if (!fits) throw nanobind::value_error(what);
}

}  // namespace octavo
