// A run of codes, one a byte or several.
#pragma once
#include <cstddef>
#include <cstdint>

namespace octavo {

struct BitPackKernel {
  // n codes to ceil(n * bits / 8) bytes. Returns the bits that did not fit: 0 if every code plus
  // `shift` lies from 0 to 2^bits - 1.
  uint8_t (*pack)(const uint8_t* codes, size_t n, int bits, uint8_t shift, uint8_t* bytes);
  // The way back; `half` is 2^(bits - 1) for signed codes, else 0. `whole`: bytes of all answers.
  void (*unpack)(const uint8_t* bytes, size_t n, int bits, uint8_t half, uint8_t* codes,
                 size_t whole);
};

struct BitPackCall {
  uint8_t *codes, *bytes;  // [rows][n], [rows][ceil(n * bits / 8)]
  size_t rows, n;
  int bits;
  bool is_signed;
  int threads;
};

bool bit_pack(const BitPackKernel& kernel, const BitPackCall& call);  // false: a code did not fit
void bit_unpack(const BitPackKernel& kernel, const BitPackCall& call);

}  // namespace octavo
