// A convolution's sizes for a check: strides, borders, holes, tails of all tiles.
#pragma once
#include "native.h"
#include "runtime/patches.h"

inline octavo::Geometry geometry(Case& c, size_t most_channels) {
  octavo::Geometry g = {};
  g.c = c.size(1, most_channels);
  g.kernel_tall = c.size(1, 3), g.kernel_wide = c.size(1, 4);
  g.stride_tall = c.size(1, 2), g.stride_wide = c.size(1, 2);
  g.padding_tall = c.size(0, 2), g.padding_wide = c.size(0, 2);
  g.dilation_tall = c.size(1, 2), g.dilation_wide = c.size(1, 2);
  const size_t least_tall = (g.kernel_tall - 1) * g.dilation_tall + 1;
  const size_t least_wide = (g.kernel_wide - 1) * g.dilation_wide + 1;
  g.tall = c.size(least_tall, least_tall + 9), g.wide = c.size(least_wide, least_wide + 21);
  g.out_tall = (g.padded_tall() - least_tall) / g.stride_tall + 1;
  g.out_wide = (g.padded_wide() - least_wide) / g.stride_wide + 1;
  return g;
}

// Steps of one pixel, and an answer as wide as the input.
inline void keep_width(octavo::Geometry& g) {
  g.stride_tall = g.stride_wide = 1;
  if (g.kernel_wide % 2 == 0) g.dilation_wide = 2;
  g.padding_wide = (g.kernel_wide - 1) * g.dilation_wide / 2;
  g.out_tall = g.padded_tall() - (g.kernel_tall - 1) * g.dilation_tall;
  g.out_wide = g.wide;
}

inline size_t input_size(const octavo::Geometry& g) { return g.c * g.tall * g.wide; }
