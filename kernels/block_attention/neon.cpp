namespace {

typedef float Vector __attribute__((vector_size(16)));
typedef int Bits __attribute__((vector_size(16)));
constexpr int MOST = 3;

}  // namespace

#include "block_attention/tile.inc"

extern const octavo::BlockKernel block_attention_neon;
const octavo::BlockKernel block_attention_neon = {run_as<float>, run_as<uint16_t>};
