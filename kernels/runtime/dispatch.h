// Which instruction set runs: chosen once, when the module is imported.
#pragma once
#include <string>
#include <vector>

#include "csr_spmm/kernel.h"
#include "runtime/integer.h"
#include "stripe_conv2d/kernel.h"

namespace octavo {

struct Table {
  const char* name;
  const IntegerKernel *int4, *int8;
  const CsrKernel* csr;
  const StripeKernel* stripes;
};

std::vector<Table> tables();            // those that run on this CPU, best first
std::vector<std::string> cpu_flags();   // instruction sets of this CPU that matter here

}  // namespace octavo
