#include "runtime/pool.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <new>
#include <thread>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

namespace octavo {
namespace {

constexpr uint32_t kMostThreads = 0xFF;
constexpr auto kSpin = std::chrono::microseconds(50);

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

struct Job {
  void (*body)(void*, size_t) = nullptr;
  void* context = nullptr;
  size_t tasks = 0;
};

// A helper sleeps on `round`, which each job changes: its low byte says how many helpers take part,
// the rest counts jobs. Those who take part draw tasks by ticket and count themselves out through
// `busy`; the job is not rewritten before. Lives for the process: never destroyed.
struct Pool {
  std::mutex owner;
  std::atomic<uint32_t> round{0};
  std::atomic<size_t> ticket{0};
  std::atomic<int> busy{0};
  Job job;
  int started = 0;

  void draw() {
    for (size_t task; (task = ticket.fetch_add(1, std::memory_order_relaxed)) < job.tasks;) {
      job.body(job.context, task);
    }
  }
};

Pool* pool = new Pool;
thread_local bool inside = false;

// Wait until round moves on from `seen`: spin a little, then sleep.
void wait_for_round(Pool* p, uint32_t seen) {
  const auto until = std::chrono::steady_clock::now() + kSpin;
  while (std::chrono::steady_clock::now() < until) {
    for (int i = 0; i < 32; ++i) {
      if (p->round.load(std::memory_order_acquire) != seen) return;
      pause();
    }
  }
  p->round.wait(seen, std::memory_order_acquire);
}

void help(Pool* p, int me, uint32_t seen) {
  inside = true;
  for (;;) {
    wait_for_round(p, seen);
    seen = p->round.load(std::memory_order_acquire);
    if (me <= int(seen & kMostThreads)) {
      p->draw();
      if (p->busy.fetch_sub(1, std::memory_order_acq_rel) == 1) p->busy.notify_one();
    }
  }
}

void start_helpers(Pool* p, int count) {
  while (p->started < count) {
    ++p->started;
    std::thread(help, p, p->started, p->round.load(std::memory_order_relaxed)).detach();
  }
}

void wait_for_helpers(Pool* p) {
  for (int spins = 0; spins < 4096; ++spins) {
    if (p->busy.load(std::memory_order_acquire) == 0) return;
    pause();
  }
  for (int left; (left = p->busy.load(std::memory_order_acquire)) != 0;) {
    p->busy.wait(left, std::memory_order_acquire);
  }
}

void forget_threads() { pool = new Pool; }  // a forked child has none of its parent's helpers

struct Buffer {
  char* data = nullptr;
  size_t size = 0;
  ~Buffer() { std::free(data); }
};

}  // namespace

char* scratch(size_t bytes, int slot) {
  static thread_local Buffer buffers[3];
  Buffer& buffer = buffers[slot];
#if defined(__SANITIZE_ADDRESS__)
  buffer.size = 0;  // each call gets exactly its own, so that a step too far is seen
  bytes = (bytes + 63) & ~size_t{63};
  std::free(buffer.data);
  return buffer.data = static_cast<char*>(std::aligned_alloc(64, bytes));
#endif
  if (buffer.size < bytes) {
    const size_t size = (bytes + bytes / 4 + 4095) & ~size_t{4095};
    std::free(buffer.data);
    buffer.size = 0;
    buffer.data = static_cast<char*>(std::aligned_alloc(64, size));
    if (!buffer.data) throw std::bad_alloc();
    buffer.size = size;
  }
  return buffer.data;
}

void run(int threads, size_t tasks, void (*body)(void*, size_t), void* context) {
#if defined(__unix__) || defined(__APPLE__)
  static const int registered = pthread_atfork(nullptr, nullptr, forget_threads);
  (void)registered;
#endif
  Pool* p = pool;
  if (inside || !p->owner.try_lock()) {
    for (size_t task = 0; task < tasks; ++task) body(context, task);
    return;
  }
  size_t team = size_t(threads) < tasks ? threads : tasks;
  if (team > kMostThreads) team = kMostThreads;
  const int helpers = int(team) - 1;
  start_helpers(p, helpers);
  p->job = {body, context, tasks};
  p->ticket.store(0, std::memory_order_relaxed);
  p->busy.store(helpers, std::memory_order_relaxed);
  const uint32_t jobs = (p->round.load(std::memory_order_relaxed) & ~kMostThreads) + kMostThreads + 1;
  p->round.store(jobs | uint32_t(helpers), std::memory_order_release);
  p->round.notify_all();
  inside = true;
  p->draw();
  inside = false;
  wait_for_helpers(p);
  p->owner.unlock();
}

}  // namespace octavo
