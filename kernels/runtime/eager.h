// The short way of an eager call: checks at the door and the answer's memory without Python.
#pragma once
#include <nanobind/nanobind.h>

#include <cstddef>

namespace octavo {

// An answer (..., n) for x (..., k) float32 with an optional bias (n,), if the call may pass by
// torch's dispatcher: plain contiguous tensors of the CPU that fit, no gradient asked for, nothing
// that traces or watches. Else None, and nothing is said: the long way knows what is wrong.
nanobind::object short_answer(nanobind::handle x, nanobind::handle bias, size_t n, size_t k);

// Whether a tensor is torch's own and wants no gradient.
bool plain(nanobind::handle tensor);

int threads_of_torch();

}  // namespace octavo
