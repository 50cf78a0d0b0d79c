#include <cstdint>
#include <cstring>

namespace {

typedef float Vector __attribute__((vector_size(16)));
typedef int Bits __attribute__((vector_size(16)));
constexpr int ROWS = 4, MOST = 2;

// One sum of eight bytes.
struct Sums {
  typedef uint64_t Register;
  static constexpr int rows = 1, registers = 4;

  static inline Register load(const uint8_t* at) {
    Register v;
    std::memcpy(&v, at, sizeof v);
    return v;
  }
  static inline Register spread(int64_t eight) { return Register(eight); }
  static inline Register add(Register sum, Register a, Register b) {
    for (int i = 0; i < 64; i += 8) {
      const int apart = int(a >> i & 255) - int(b >> i & 255);
      sum += apart < 0 ? -apart : apart;
    }
    return sum;
  }
  static inline void store(int32_t* to, Register sum) { *to = int32_t(sum); }
};

}  // namespace

#include "adder_conv2d/tile.inc"
#include "adder_conv2d/codes.inc"

extern const octavo::AdderKernel adder_conv2d_generic;
const octavo::AdderKernel adder_conv2d_generic = {run, to_input, add_codes};
