// A convolution's sizes, as bind.cpp takes them.
#pragma once
#include <nanobind/stl/array.h>

#include <array>

#include "runtime/bind.h"
#include "runtime/patches.h"

namespace octavo {

// kernel, stride, padding, dilation: height and width of each.
using ConvolutionSizes = std::array<size_t, 8>;

inline Geometry geometry(const View& x, const View& out, bool channels_last,
                         const ConvolutionSizes& s) {
  check(x.dims == 4 && out.dims == 4 && x.shape[0] == out.shape[0], "x and out must be 4-D");
  const int tall = channels_last ? 1 : 2;
  return {size_t(x.shape[1]), size_t(x.shape[2]), size_t(x.shape[3]), s[0], s[1], s[2], s[3],
          s[4], s[5], s[6], s[7], size_t(out.shape[tall]), size_t(out.shape[tall + 1])};
}

}  // namespace octavo
