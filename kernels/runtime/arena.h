// Where packed weights live.
#pragma once
#include <cstddef>

namespace octavo {

// 64-byte aligned memory; large pieces stand on pages of 2 MiB where the system gives them, and
// small ones share such pages. Never null: throws std::bad_alloc.
void* arena_take(size_t bytes);
void arena_give(void* piece) noexcept;

}  // namespace octavo
