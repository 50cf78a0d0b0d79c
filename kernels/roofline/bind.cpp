#include "roofline/kernel.h"

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>

#include "runtime/bind.h"

namespace nb = nanobind;

OCTAVO_KERNEL(octavo::RooflineKernel, roofline)

namespace octavo {
namespace {

std::vector<std::string> units() {
  const std::vector<std::string> flags = cpu_flags();
  std::vector<std::string> found;
  for (int i = 0; i < kUnits; ++i) {
    const auto& unit = roofline_in_use().units[i];
    if (!unit.spin) continue;
    if (unit.needs && std::find(flags.begin(), flags.end(), unit.needs) == flags.end()) continue;
    found.push_back(kUnitNames[i]);
  }
  return found;
}

double spin(const std::string& name, size_t rounds) {
  const std::vector<std::string> all = units();
  check(std::find(all.begin(), all.end(), name) != all.end(), "no such unit here");
  const auto at = std::find(kUnitNames, kUnitNames + kUnits, name) - kUnitNames;
  const auto& unit = roofline_in_use().units[at];
  nb::gil_scoped_release free;
  unit.spin(rounds);
  return unit.operations * double(rounds);
}

void read(nb::handle bytes_, size_t count, size_t rounds) {
  const View bytes = view(bytes_, 'u', 1);
  check(count <= bytes.count() && count % 1024 == 0, "count is no multiple of 1024 in bytes");
  nb::gil_scoped_release free;
  for (; rounds; --rounds) roofline_in_use().read(bytes.as<char>(), count);
}

}  // namespace

void bind_roofline(nb::module_& m) {
  m.def("roofline_units", units);
  m.def("roofline_spin", spin);
  m.def("roofline_read", read);
}

}  // namespace octavo
