// Which instruction set runs, for the operations that keep their own table (see bind.h).
#pragma once

namespace octavo {

enum class Isa { generic, avx2, avx512 };
inline Isa isa_in_use = Isa::generic;  // set by use(), once at import

}  // namespace octavo
