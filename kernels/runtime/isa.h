// Which instruction set runs: chosen once, when the module is imported.
#pragma once
#include <string>
#include <vector>

namespace octavo {

enum class Isa { generic, avx2, avx512, neon };
inline Isa isa_in_use = Isa::generic;
// The same, for operations whose last file takes products of bytes: VNNI, or dotprod of ARM.
inline Isa vnni_in_use = Isa::generic;
inline Isa popcount_in_use = Isa::generic;  // the same, where avx512.cpp takes VPOPCNTDQ
inline Isa vbmi_in_use = Isa::generic;  // the same, where avx512.cpp takes VNNI and VBMI

std::vector<std::string> backends();    // those that run on this CPU, best first
std::vector<std::string> cpu_flags();   // instruction sets of this CPU that matter here

// Use the backend of this name; false where it is none of backends().
bool use(const std::string& name);

}  // namespace octavo

// <operation>_in_use(): the kernel of the instruction set in use, from its files.
#define OCTAVO_KERNEL(Kernel, operation) OCTAVO_KERNEL_OF(Kernel, operation, isa_in_use)
// The same where avx512.cpp takes VNNI and neon.cpp dotprod: a CPU without it runs the file before.
#define OCTAVO_VNNI_KERNEL(Kernel, operation) OCTAVO_KERNEL_OF(Kernel, operation, vnni_in_use)
// The same where avx512.cpp takes VPOPCNTDQ, and neon.cpp, beside other things, dotprod.
#define OCTAVO_POPCOUNT_KERNEL(Kernel, operation) \
  OCTAVO_KERNEL_OF(Kernel, operation, popcount_in_use)
// The same where avx512.cpp takes VNNI and VBMI.
#define OCTAVO_VBMI_KERNEL(Kernel, operation) OCTAVO_KERNEL_OF(Kernel, operation, vbmi_in_use)

#if defined(__x86_64__)
#define OCTAVO_KERNEL_OF(Kernel, operation, isa)                                            \
  extern const Kernel operation##_generic, operation##_avx2, operation##_avx512;            \
  static const Kernel& operation##_in_use() {                                               \
    const Kernel* const all[] = {&operation##_generic, &operation##_avx2, &operation##_avx512}; \
    return *all[int(octavo::isa)];                                                          \
  }
#elif defined(__aarch64__)
#define OCTAVO_KERNEL_OF(Kernel, operation, isa)                                           \
  extern const Kernel operation##_generic, operation##_neon;                               \
  static const Kernel& operation##_in_use() {                                              \
    return octavo::isa == octavo::Isa::neon ? operation##_neon : operation##_generic;      \
  }
#else
#define OCTAVO_KERNEL_OF(Kernel, operation, isa) \
  extern const Kernel operation##_generic;       \
  static const Kernel& operation##_in_use() { return operation##_generic; }
#endif
