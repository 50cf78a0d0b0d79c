// What is under the kernels: the pool under many callers and after a fork, where weights live.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "native.h"
#include "runtime/arena.h"
#include "runtime/pool.h"

namespace {

// Every task once, whoever takes it.
bool each_once(int threads, size_t tasks) {
  std::vector<std::atomic<int>> taken(tasks);
  octavo::parallel(threads, 1e9, tasks, [&](size_t task) { ++taken[task]; });
  for (const auto& count : taken) {
    if (count != 1) return false;
  }
  return true;
}

}  // namespace

OCTAVO_PROPERTY(pool_takes_each_task_once) {
  require(each_once(int(c.size(1, 9)), c.size(0, 300)), "a task was lost or taken twice");
}

OCTAVO_PROPERTY(pool_serves_many_callers) {
  std::atomic<int> right{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 3; ++i) {
    callers.emplace_back([&] { right += each_once(3, 50); });
  }
  for (std::thread& caller : callers) caller.join();
  require(right == 3, "callers beside each other lost a task");
}

#if !defined(__SANITIZE_THREAD__)  // it does not follow a fork
OCTAVO_PROPERTY(fork_while_others_work) {
  if (c.seed % 6 || !forks) return;
  std::atomic<bool> stop{false};
  std::thread beside([&] {
    while (!stop) octavo::arena_give(octavo::arena_take(100)), each_once(3, 20);
  });
  for (int i = 0; i < 4; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      alarm(20);  // a deadlock ends too
      void* piece = octavo::arena_take(100);
      const bool right = each_once(3, 60);
      octavo::arena_give(piece);
      _exit(right ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    require(status == 0, "a forked child failed");
  }
  stop = true;
  beside.join();
  require(each_once(3, 60), "the parent lost a task after a fork");
}
#endif

OCTAVO_PROPERTY(weights_lie_apart_and_aligned) {
  std::vector<std::pair<char*, size_t>> pieces;
  for (int i = 0; i < 20; ++i) {
    const size_t bytes = c.chance(5) ? c.size(1, 3 << 20) : c.size(0, 9000);
    auto* piece = static_cast<char*>(octavo::arena_take(bytes));
    require(reinterpret_cast<uintptr_t>(piece) % 64 == 0, "a piece is not aligned");
    std::memset(piece, i, bytes);
    pieces.emplace_back(piece, bytes);
  }
  for (int i = 0; i < 20; ++i) {
    for (size_t at = 0; at < pieces[i].second; ++at) {
      require(pieces[i].first[at] == i, "pieces share memory");
    }
    octavo::arena_give(pieces[i].first);
  }
}
