#include "hadamard/kernel.h"
#include "runtime/bind.h"

namespace nb = nanobind;

OCTAVO_KERNEL(octavo::HadamardKernel, hadamard)

namespace octavo {
namespace {

void call(nb::handle x_, nb::handle y_, float scale, int threads) {
  const View x = view(x_, 'f', 4), y = view(y_, 'f', 4);
  const size_t count = y.count(), d = y.last();
  if (!count) return;
  check(x.count() == y.count(), "x and y differ in size");
  check((d & (d - 1)) == 0, "rows must be a power of two long");
  nb::gil_scoped_release free;
  hadamard(hadamard_in_use(), {x.as<float>(), y.as<float>(), count / d, d, scale, threads});
}

}  // namespace

void bind_hadamard(nb::module_& m) { m.def("hadamard", call); }

}  // namespace octavo
