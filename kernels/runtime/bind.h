// What bind.cpp of an operation starts from. To add a kernel, add its folder; the build finds it:
//   kernel.h      struct Kernel, the pointers that differ by instruction set, and the call's sizes
//   generic.cpp avx2.cpp avx512.cpp neon.cpp   each `extern const Kernel <operation>_<isa>`, all
//                 else static; they share a tile.inc, so a new instruction set is a dozen lines
//   drive.cpp     cuts the call into tasks for the pool (runtime/pool.h); optional
//   bind.cpp      OCTAVO_KERNEL(Kernel, <operation>), then `void octavo::bind_<operation>` checks
//                 sizes with check(), takes pointers with view() and calls <operation>_in_use(); a
//                 product with a packed weight is a Product (product.h), and bind_product its doors
//   __init__.py   equation, reference(), the function, and define() of runtime/operation.py, which
//                 registers it with torch
//   bars.py       cases(quick): what it must beat, run by kernels/bars.py and the tests
// kernels/__init__.py exports it by name, and loads its packed format if it has one.
#pragma once
#include <nanobind/nanobind.h>

#include "runtime/dlpack.h"
#include "runtime/eager.h"
#include "runtime/isa.h"
#include "runtime/registered.h"

namespace octavo {

inline void check(bool fits, const char* what) {
  if (!fits) throw nanobind::value_error(what);
}

// Bind <name>_eager(x, bias, packed) of a product, with a step=None if it takes one, and offer it to
// torch's dispatcher.
template <const Product& product>
void bind_product(nanobind::module_& m) {
  using nanobind::handle;
  const std::string name = std::string(product.name) + "_eager";
  const nanobind::arg must;
  if constexpr (product.takes_step) {
    const auto eager = [](handle x, handle bias, handle packed, handle step) {
      return short_way(product, x, bias, packed, step);
    };
    m.def(name.c_str(), eager, must, nanobind::arg().none(), must, nanobind::arg() = nanobind::none());
  } else {
    const auto eager = [](handle x, handle bias, handle packed) {
      return short_way(product, x, bias, packed, nanobind::none());
    };
    m.def(name.c_str(), eager, must, nanobind::arg().none(), must);
  }
  offer(product, [](uint64_t* stack, uint64_t, uint64_t) { run_boxed(product, stack); },
        [](uint64_t* stack, uint64_t, uint64_t) { route_boxed(product, stack); });
}

}  // namespace octavo
