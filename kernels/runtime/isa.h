// Which instruction set runs: chosen once, when the module is imported.
#pragma once
#include <string>
#include <vector>

namespace octavo {

enum class Isa { generic, avx2, avx512 };
inline Isa isa_in_use = Isa::generic;
inline Isa vnni_in_use = Isa::generic;  // the same, for operations whose AVX-512 file takes VNNI
inline Isa vbmi_in_use = Isa::generic;  // the same, where it takes VNNI and VBMI

std::vector<std::string> backends();    // those that run on this CPU, best first
std::vector<std::string> cpu_flags();   // instruction sets of this CPU that matter here

// Use the backend of this name; false where it is none of backends().
bool use(const std::string& name);

}  // namespace octavo
