namespace {

typedef float Vector __attribute__((vector_size(16)));
typedef int Mask __attribute__((vector_size(16)));

}  // namespace

#include "fake_quant/tile.inc"

extern const octavo::FakeQuantKernel fake_quant_neon;
const octavo::FakeQuantKernel fake_quant_neon = {forward, forward_each, backward, backward_each};
