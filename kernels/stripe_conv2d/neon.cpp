namespace {

typedef float Vector __attribute__((vector_size(16)));
constexpr int MOST = 3;

}  // namespace

#include "stripe_conv2d/masks.inc"
#include "stripe_conv2d/tile.inc"

extern const octavo::StripeKernel stripe_conv2d_neon;
const octavo::StripeKernel stripe_conv2d_neon = {run_tile};
