// octavo.kernels._native: what the operations share. They bind themselves, see bind.h.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "runtime/arena.h"
#include "runtime/isa.h"
#include "runtime/registered.h"

// The operations: every folder with a bind.cpp, listed by the build.
#define OCTAVO_BIND(operation) namespace octavo { void bind_##operation(nanobind::module_&); }
#include "bindings.inc"
#undef OCTAVO_BIND

namespace nb = nanobind;
using namespace octavo;

namespace {

void choose(const std::string& name) {
  if (!use(name)) throw nb::value_error(("no backend " + name).c_str());
}

nb::ndarray<nb::pytorch, uint8_t, nb::ndim<1>> arena(size_t bytes) {
  void* piece = arena_take(bytes);
  nb::capsule owner(piece, [](void* p) noexcept { arena_give(p); });
  return {static_cast<uint8_t*>(piece), {bytes}, owner};
}

}  // namespace

NB_MODULE(_native, m) {
  use(backends().front());
  m.def("backends", backends);
  m.def("cpu_flags", cpu_flags);
  m.def("use", choose);
  m.def("arena", arena);
  m.def("give_to_torch", give_to_torch);
#define OCTAVO_BIND(operation) bind_##operation(m);
#include "bindings.inc"
}
