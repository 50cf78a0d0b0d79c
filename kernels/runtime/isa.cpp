#include "runtime/isa.h"

#include <algorithm>

namespace octavo {
namespace {

bool has_vnni() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512vnni");
#else
  return false;
#endif
}

bool has_vbmi() {
#if defined(__x86_64__)
  return has_vnni() && __builtin_cpu_supports("avx512vbmi");
#else
  return false;
#endif
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
#endif
  found.push_back("generic");
  return found;
}

bool use(const std::string& name) {
  const std::vector<std::string> all = backends();
  if (std::find(all.begin(), all.end(), name) == all.end()) return false;
  isa_in_use = name == "avx512" ? Isa::avx512 : name == "avx2" ? Isa::avx2 : Isa::generic;
  vnni_in_use = isa_in_use == Isa::avx512 && !has_vnni() ? Isa::avx2 : isa_in_use;
  vbmi_in_use = isa_in_use == Isa::avx512 && !has_vbmi() ? Isa::avx2 : isa_in_use;
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
#endif
  return flags;
}

}  // namespace octavo
