#include "runtime/dispatch.h"

#define OCTAVO_DECLARE(isa)                                \
  extern const octavo::IntegerKernel int4_matmul_##isa;    \
  extern const octavo::IntegerKernel int8_matmul_##isa;    \
  extern const octavo::CsrKernel csr_spmm_##isa;           \
  extern const octavo::StripeKernel stripe_conv2d_##isa;

OCTAVO_DECLARE(generic)
#if defined(__x86_64__)
OCTAVO_DECLARE(avx2)
OCTAVO_DECLARE(avx512)
#endif

namespace octavo {

std::vector<Table> tables() {
  std::vector<Table> found;
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  const bool vnni = __builtin_cpu_supports("avx512vnni");
  if (avx512) {
    found.push_back({"avx512", vnni ? &int4_matmul_avx512 : &int4_matmul_avx2,
                     vnni ? &int8_matmul_avx512 : &int8_matmul_avx2, &csr_spmm_avx512,
                     &stripe_conv2d_avx512});
  }
  if (avx2) {
    found.push_back({"avx2", &int4_matmul_avx2, &int8_matmul_avx2, &csr_spmm_avx2,
                     &stripe_conv2d_avx2});
  }
#endif
  found.push_back({"generic", &int4_matmul_generic, &int8_matmul_generic, &csr_spmm_generic,
                   &stripe_conv2d_generic});
  return found;
}

std::vector<std::string> cpu_flags() {
  std::vector<std::string> flags;
#if defined(__x86_64__)
  __builtin_cpu_init();
#define OCTAVO_FLAG(name) \
  if (__builtin_cpu_supports(name)) flags.push_back(name);
  OCTAVO_FLAG("sse4.2")
  OCTAVO_FLAG("avx2")
  OCTAVO_FLAG("fma")
  OCTAVO_FLAG("avx512f")
  OCTAVO_FLAG("avx512bw")
  OCTAVO_FLAG("avx512dq")
  OCTAVO_FLAG("avx512vl")
  OCTAVO_FLAG("avx512vnni")
  OCTAVO_FLAG("avx512vbmi")
  OCTAVO_FLAG("avx512bf16")
#undef OCTAVO_FLAG
#elif defined(__aarch64__)
  flags.push_back("neon");
#endif
  return flags;
}

}  // namespace octavo
