#include <cstddef>

namespace {

constexpr size_t WIDTH = 16;

}  // namespace

#include "bit_pack/tile.inc"

extern const octavo::BitPackKernel bit_pack_neon;
const octavo::BitPackKernel bit_pack_neon = {pack, unpack};
