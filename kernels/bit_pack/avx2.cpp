#include <cstddef>

namespace {

constexpr size_t WIDTH = 32;

}  // namespace

#include "bit_pack/tile.inc"

extern const octavo::BitPackKernel bit_pack_avx2;
const octavo::BitPackKernel bit_pack_avx2 = {pack, unpack};
