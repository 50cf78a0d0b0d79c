namespace {

typedef float Vector __attribute__((vector_size(64)));
typedef int Bits __attribute__((vector_size(64)));
constexpr int ROWS = 6, MOST = 4;

}  // namespace

#include "adder_conv2d/tile.inc"

extern const octavo::AdderKernel adder_conv2d_avx512;
const octavo::AdderKernel adder_conv2d_avx512 = {run, to_input};
