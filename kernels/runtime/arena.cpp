#include "runtime/arena.h"

#include <cstdint>
#include <cstdlib>
#include <map>
#include <mutex>
#include <new>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif
#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace octavo {
namespace {

constexpr size_t kPage = size_t{2} << 20;

// A run of large pages, filled from the front; returned to the system when its last piece goes.
struct Chunk {
  size_t size, used, live;
};

struct Arena {
  std::mutex lock;
  std::map<uintptr_t, Chunk> chunks;  // by address
  uintptr_t open = 0;                 // the chunk that small pieces are cut from
};

Arena* arena() {
  static Arena* only = new Arena;  // outlives every tensor
  return only;
}

// A fork waits until no other thread holds the arena: the child finds it whole and open.
[[maybe_unused]] void hold() { arena()->lock.lock(); }
[[maybe_unused]] void release() { arena()->lock.unlock(); }

void survive_forks() {
#if defined(__unix__) || defined(__APPLE__)
  static const int registered = pthread_atfork(hold, release, release);
  (void)registered;
#endif
}

size_t round_up(size_t bytes, size_t step) { return (bytes + step - 1) / step * step; }

#if defined(__linux__)

// Fresh pages at a large boundary. Memory of malloc would not do: what it hands out again has small
// pages already, and they stay small.
void* map_pages(size_t size) {
  const size_t room = size + kPage;
  void* const pages = mmap(nullptr, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) throw std::bad_alloc();
  auto* const begin = static_cast<char*>(pages);
  auto* const base = reinterpret_cast<char*>(round_up(reinterpret_cast<uintptr_t>(pages), kPage));
  if (base > begin) munmap(begin, base - begin);
  munmap(base + size, begin + room - base - size);
  madvise(base, size, MADV_HUGEPAGE);  // a wish: without it the same memory has small pages
  return base;
}

void unmap_pages(uintptr_t base, size_t size) { munmap(reinterpret_cast<void*>(base), size); }

#else

void* map_pages(size_t size) {
  void* pages = std::aligned_alloc(kPage, size);
  if (!pages) throw std::bad_alloc();
  return pages;
}

void unmap_pages(uintptr_t base, size_t) { std::free(reinterpret_cast<void*>(base)); }

#endif

uintptr_t add_chunk(Arena* a, size_t size) {
  const auto base = reinterpret_cast<uintptr_t>(map_pages(size));
  a->chunks[base] = {size, 0, 0};
  return base;
}

}  // namespace

void* arena_take(size_t bytes) {
  survive_forks();
  bytes = round_up(bytes ? bytes : 1, 64);
  Arena* a = arena();
  std::lock_guard guard(a->lock);
  uintptr_t base = a->open;
  if (bytes >= kPage / 2) {
    base = add_chunk(a, round_up(bytes, kPage));
  } else if (!base || a->chunks[base].size - a->chunks[base].used < bytes) {
    base = a->open = add_chunk(a, kPage);  // the last one goes with its last piece
  }
  Chunk& chunk = a->chunks[base];
  void* piece = reinterpret_cast<void*>(base + chunk.used);
  chunk.used += bytes;
  ++chunk.live;
  return piece;
}

void arena_give(void* piece) noexcept {
  Arena* a = arena();
  std::lock_guard guard(a->lock);
  const auto next = a->chunks.upper_bound(reinterpret_cast<uintptr_t>(piece));
  const auto found = std::prev(next);
  if (--found->second.live) return;
  if (found->first == a->open) {
    found->second.used = 0;
    return;
  }
  unmap_pages(found->first, found->second.size);
  a->chunks.erase(found);
}

}  // namespace octavo
