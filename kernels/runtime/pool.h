// Threads and scratch memory of the kernels.
#pragma once
#include <cstddef>
#include <type_traits>

namespace octavo {

#if !defined(OCTAVO_SERIAL_BELOW)  // the checks of tests/native set it: every call meets the pool
#define OCTAVO_SERIAL_BELOW 300
#endif
// Microseconds of work that are not worth a second thread.
constexpr double kSerialBelow = OCTAVO_SERIAL_BELOW;

// Memory of this thread, kept from call to call and grown when needed; 64-byte aligned.
// Each slot is one buffer, so that a task may use its own beside its caller's.
char* scratch(size_t bytes, int slot = 0);

// Run body(context, task) for every task below `tasks` on up to `threads` threads, the caller one
// of them. Serial inside another parallel region, and when another thread holds the pool.
void run(int threads, size_t tasks, void (*body)(void*, size_t), void* context);

template <class Body>
void parallel(int threads, double microseconds, size_t tasks, Body&& body) {
  if (threads <= 1 || tasks <= 1 || microseconds < kSerialBelow) {
    for (size_t task = 0; task < tasks; ++task) body(task);
    return;
  }
  run(threads, tasks, [](void* b, size_t task) { (*static_cast<std::remove_reference_t<Body>*>(b))(task); }, &body);
}

}  // namespace octavo
