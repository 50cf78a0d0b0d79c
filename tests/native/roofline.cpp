#include "roofline/kernel.h"

#include <algorithm>

#include "native.h"

OCTAVO_KERNEL(octavo::RooflineKernel, roofline)

static void run(const octavo::RooflineKernel& kernel, Case& c) {
  const size_t count = 1024 * c.size(1, 9);
  kernel.read(reinterpret_cast<char*>(c.buffer<uint8_t>(count)), count);
  const std::vector<std::string> flags = octavo::cpu_flags();
  for (const auto& unit : kernel.units) {
    if (unit.needs && std::find(flags.begin(), flags.end(), unit.needs) == flags.end()) continue;
    if (unit.spin) unit.spin(c.seed);
  }
}

OCTAVO_CHECK(roofline, run)
