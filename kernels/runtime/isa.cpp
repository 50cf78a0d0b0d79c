#include "runtime/isa.h"

#include <algorithm>

#if defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace octavo {
namespace {

// Products of bytes: VNNI, or dotprod of ARM.
bool has_byte_products() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512vnni");
#elif defined(__aarch64__) && defined(__linux__)
  return getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
#elif defined(__aarch64__) && defined(__APPLE__)
  return true;  // every Mac of this architecture
#else
  return false;
#endif
}

// Counts of bits, beside products of bytes in the one file of ARM.
bool has_bit_counts() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512vpopcntdq");
#else
  return has_byte_products();
#endif
}

// Products of bytes, and shuffles of them across a register: VNNI and VBMI. ARM shuffles anyhow.
bool has_byte_shuffles() {
#if defined(__x86_64__)
  return has_byte_products() && __builtin_cpu_supports("avx512vbmi");
#else
  return true;
#endif
}

// The file to run where the one of `isa` needs what the CPU lacks.
Isa before(Isa isa) {
  if (isa == Isa::neon) return Isa::generic;
  return isa == Isa::avx512 ? Isa::avx2 : isa;
}

Isa isa_of(const std::string& name) {
  if (name == "neon") return Isa::neon;
  if (name == "avx512") return Isa::avx512;
  return name == "avx2" ? Isa::avx2 : Isa::generic;
}

}  // namespace

std::vector<std::string> backends() {
  std::vector<std::string> found;
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  if (avx512) found.push_back("avx512");
  if (avx2) found.push_back("avx2");
#elif defined(__aarch64__)
  found.push_back("neon");
#endif
  found.push_back("generic");
  return found;
}

bool use(const std::string& name) {
  const std::vector<std::string> all = backends();
  if (std::find(all.begin(), all.end(), name) == all.end()) return false;
  isa_in_use = isa_of(name);
  vnni_in_use = has_byte_products() ? isa_in_use : before(isa_in_use);
  popcount_in_use = has_bit_counts() ? isa_in_use : before(isa_in_use);
  vbmi_in_use = has_byte_shuffles() ? isa_in_use : before(isa_in_use);
  return true;
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
  OCTAVO_FLAG("avx512vpopcntdq")
#undef OCTAVO_FLAG
#elif defined(__aarch64__)
  flags.push_back("neon");
  if (has_byte_products()) flags.push_back("dotprod");
#endif
  return flags;
}

}  // namespace octavo
