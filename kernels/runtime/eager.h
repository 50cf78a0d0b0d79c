// The short way of an eager call: checks at the door and the answer's memory without Python.
#pragma once
#include <nanobind/nanobind.h>

#include "runtime/product.h"

namespace octavo {

// x (..., k) float32 by a packed weight (a tuple: tables, then sizes), plus bias (n,) if there is
// one; step, of the activations, may be None. Only if the call may pass by torch's dispatcher: plain contiguous tensors of the CPU that
// fit, no gradient asked for, nothing that traces or watches. Else None, and nothing is said: the
// long way knows what is wrong.
nanobind::object short_way(const Product& product, nanobind::handle x, nanobind::handle bias,
                           nanobind::handle packed, nanobind::handle step);

}  // namespace octavo
