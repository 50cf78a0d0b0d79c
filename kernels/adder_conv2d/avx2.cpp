namespace {

typedef float Vector __attribute__((vector_size(32)));
typedef int Bits __attribute__((vector_size(32)));
constexpr int ROWS = 4, MOST = 2;

}  // namespace

#include "adder_conv2d/tile.inc"

extern const octavo::AdderKernel adder_conv2d_avx2;
const octavo::AdderKernel adder_conv2d_avx2 = {run, to_input};
