// Stores that pass the caches by: for outputs that would only push everything else out of them.
#pragma once
#include <cstddef>
#include <cstring>

namespace {

constexpr size_t kStreamFrom = 4u << 20;  // bytes: an output of more than the second-level cache

// Whether to write `bytes` from `at` in vectors past the caches; a task that does so ends with
// stream_done().
inline bool streams(const void* at, size_t bytes, size_t least = kStreamFrom) {
#if defined(__x86_64__)
  return bytes >= least && reinterpret_cast<size_t>(at) % 64 == 0;
#else
  (void)at, (void)bytes, (void)least;
  return false;
#endif
}

template <bool STREAM, class Vector>
inline __attribute__((always_inline)) void put(void* at, const Vector& v) {
#if defined(__x86_64__)
  if constexpr (STREAM) {
    auto& to = *static_cast<Vector*>(at);
    if constexpr (sizeof v == 16) asm volatile("movntps %1,%0" : "=m"(to) : "x"(v));
    if constexpr (sizeof v == 32) asm volatile("vmovntps %1,%0" : "=m"(to) : "x"(v));
    if constexpr (sizeof v == 64) asm volatile("vmovntps %1,%0" : "=m"(to) : "v"(v));
    return;
  }
#endif
  std::memcpy(at, &v, sizeof v);
}

[[maybe_unused]] inline void stream_done() {
#if defined(__x86_64__)
  asm volatile("sfence" ::: "memory");
#endif
}

}  // namespace
