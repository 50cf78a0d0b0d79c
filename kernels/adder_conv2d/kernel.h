// One tile of output pixels of adder_conv2d, and its gradient to the input.
#pragma once
#include <cstddef>
#include <cstdint>

#include "runtime/patches.h"

namespace octavo {

constexpr size_t kAdderPixels = 64;  // a tile of output pixels
constexpr size_t kAdderInputs = 64;  // a block of inputs: 16 KiB, half the first-level cache

// Inputs are numbered k = (channel, row, column of the kernel), as in the flattened weight.
struct AdderTile {
  const Geometry& g;
  const float* image;      // [c] planes, kSlack floats after the last
  const float* weight;     // [n][patch]
  size_t n;
  const float* bias;       // (n,) or null
  float* out;              // [n][pixels]
  size_t first, count;     // the tile's pixels, at most kAdderPixels
  float* room;             // kAdderRoom(n) floats, 64-byte aligned
};

struct AdderBack {
  const Geometry& g;
  const float* image;      // as above
  const float* weight;
  size_t n;
  const float* grad;       // [n][pixels]
  size_t channel, channels;
  float* planes;           // [channels][padded plane]: the gradient is added to these
  float* room;             // as above
};

constexpr size_t kAdderRoom(size_t n) { return (kAdderInputs + n) * kAdderPixels + 2 * kSlack; }

constexpr size_t kAdderPanel = 32;  // filters of a panel of codes
constexpr size_t kAdderDeep = 8;    // channels side by side

// Distances of 8-bit codes: some pixels to one panel of filters.
struct AdderCodes {
  const uint8_t* image;    // [padded tall][padded wide][channels], channels a multiple of 8
  const uint8_t* codes;    // [positions][channels / 8][32][8]
  const size_t* shifts;    // bytes from a pixel to what each position of the kernel meets
  size_t positions, channels;
  const size_t* starts;    // bytes of each pixel in the image
  size_t pixels;
  int32_t* sums;           // [pixels][32]
};

struct AdderKernel {
  void (*run)(const AdderTile&);
  void (*to_input)(const AdderBack&);  // of these channels, over all pixels
  void (*add_codes)(const AdderCodes&);
};

struct AdderCall {
  Geometry g;
  const float *x, *weight, *bias, *grad;  // grad: backward only
  size_t batch, n;
  float* out;                             // backward: the gradient of x
  int threads;
};

struct AdderCodesCall {
  Geometry g;
  const uint8_t *x, *codes;             // x: [batch][tall][wide][c]
  size_t batch, n;
  uint8_t zero;                         // the code of the border
  int32_t* out;                         // [batch][out_tall][out_wide][n]
  int threads;
};

void adder_conv2d(const AdderKernel& kernel, const AdderCall& call);
void adder_conv2d_codes(const AdderKernel& kernel, const AdderCodesCall& call);
void adder_conv2d_to_input(const AdderKernel& kernel, const AdderCall& call);

}  // namespace octavo
