// Checks of the kernels without Python: every instruction set that runs here against the generic
// files, on seeded shapes, on one to three threads.
//
// The check of an operation is one file, <operation>.cpp, found by the build:
//   OCTAVO_KERNEL(Kernel, <operation>)             as in its bind.cpp
//   static void run(const Kernel& kernel, Case& c) one call; sizes, inputs and answers come from c
//   OCTAVO_CHECK(<operation>, run)
// `run` is called twice a seed, with the generic kernel and with the one in use, and must ask its
// Case for the same things both times; what it filled as answers is compared. Every buffer ends, or
// in one case of four begins, where a page without access lies.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "runtime/isa.h"

struct Answer {
  void* data;
  size_t count, size;  // elements, and bytes of one
  double tolerance;    // 0: equal bits; else floats, a share of the largest
};

class Case {
 public:
  Case(uint64_t seed, int threads_);
  ~Case();
  Case(const Case&) = delete;

  const int threads;
  const uint64_t seed;

  size_t size(size_t low, size_t high);  // from low to high, both included
  bool chance(int in);                   // true once in so many
  float number();                        // about normal
  float* floats(size_t n);
  float* whole_floats(size_t n, int most);  // integers from -most to most

  template <class T>
  T* integers(size_t n, int64_t low, int64_t high) {
    T* at = buffer<T>(n);
    for (size_t i = 0; i < n; ++i) at[i] = T(low + int64_t(size(0, size_t(high - low))));
    return at;
  }
  template <class T>
  T* copy(const std::vector<T>& values) {
    T* at = buffer<T>(values.size());
    if (!values.empty()) std::memcpy(at, values.data(), values.size() * sizeof(T));
    return at;
  }
  template <class T>
  T* answer(size_t n, double tolerance = 0) {
    T* at = buffer<T>(n);
    std::memset(at, 0x5a, n * sizeof(T));
    answers.push_back({at, n, sizeof(T), tolerance});
    return at;
  }
  template <class T>
  T* buffer(size_t n) {
    return static_cast<T*>(guarded(n * sizeof(T)));
  }

  std::vector<Answer> answers;

 private:
  void* guarded(size_t bytes);
  uint64_t state;
  std::vector<std::pair<void*, size_t>> areas;
};

// One check of an operation, or one property of what is under them; they register themselves.
struct Check {
  Check(const char* name_, void (*run_)(Case&, bool generic));
  const char* name;
  void (*run)(Case&, bool generic);
  Check* next;
};

#define OCTAVO_CHECK(operation, run)                                          \
  static const Check check_##operation(#operation, [](Case& c, bool generic) { \
    run(generic ? operation##_generic : operation##_in_use(), c);             \
  });

// A property that stands for itself: it ends the program where it does not hold.
#define OCTAVO_PROPERTY(name) \
  static void name(Case& c);  \
  static const Check check_##name(#name, [](Case& c, bool) { name(c); }); \
  static void name([[maybe_unused]] Case& c)

extern bool forks;  // whether a check may fork

// End the program with this line unless it holds.
void require(bool holds, const char* what);
