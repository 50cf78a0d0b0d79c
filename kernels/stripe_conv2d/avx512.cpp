namespace {

typedef float Vector __attribute__((vector_size(64)));
constexpr int MOST = 4;

}  // namespace

#include "stripe_conv2d/tile.inc"

extern const octavo::StripeKernel stripe_conv2d_avx512;
const octavo::StripeKernel stripe_conv2d_avx512 = {run_tile};
