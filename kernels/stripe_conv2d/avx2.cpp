namespace {

typedef float Vector __attribute__((vector_size(32)));
constexpr int MOST = 2;

}  // namespace

#include "stripe_conv2d/masks.inc"
#include "stripe_conv2d/tile.inc"

extern const octavo::StripeKernel stripe_conv2d_avx2;
const octavo::StripeKernel stripe_conv2d_avx2 = {run_tile};
