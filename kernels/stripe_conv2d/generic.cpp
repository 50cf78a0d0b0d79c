namespace {

typedef float Vector __attribute__((vector_size(16)));
constexpr int MOST = 2;

}  // namespace

#include "stripe_conv2d/masks.inc"
#include "stripe_conv2d/tile.inc"

extern const octavo::StripeKernel stripe_conv2d_generic;
const octavo::StripeKernel stripe_conv2d_generic = {run_tile};
