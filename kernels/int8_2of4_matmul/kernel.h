// int8_2of4_matmul: how the bytes of a packed panel lie.
#pragma once
#include <cstddef>
#include <cstdint>

#include "runtime/integer.h"

namespace octavo::two_of_four {

constexpr size_t kInputs = 16;                  // of a block; a row's codes lie next to each other
constexpr size_t kStep = kColumns * 4;          // bytes of the codes of 8 inputs
constexpr size_t kPlaces = 2 * kStep;           // where the places of a block start
constexpr size_t kBlock = kPlaces + 2 * kColumns;
constexpr size_t kHead = kColumns * 4;          // -128 times the sums of the codes, int32

inline size_t panel_bytes(size_t padded) { return kHead + padded / kInputs * kBlock; }

}  // namespace octavo::two_of_four
