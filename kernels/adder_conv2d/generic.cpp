namespace {

typedef float Vector __attribute__((vector_size(16)));
typedef int Bits __attribute__((vector_size(16)));
constexpr int ROWS = 4, MOST = 2;

}  // namespace

#include "adder_conv2d/tile.inc"

extern const octavo::AdderKernel adder_conv2d_generic;
const octavo::AdderKernel adder_conv2d_generic = {run, to_input};
