// native [--cases N] [--no-fork] [--no-guards] [backend…]: run every check, on all backends of this
// CPU if none is named. The two flags are for emulators: some lose the threads of a forked child,
// some touch memory behind the masked lanes of a load.
#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "native.h"

#if defined(__SANITIZE_ADDRESS__)
static bool guards = false;  // it has red zones of its own, on both sides
#else
static bool guards = true;
#endif
bool forks = true;

namespace {

Check* checks = nullptr;
char place[256] = "";  // what runs: said when it dies

void say_place(int signal) {
  char line[320];
  const int n = std::snprintf(line, sizeof line, "signal %d in %s\n", signal, place);
  if (write(2, line, size_t(n)) < 0) _exit(2);
  _exit(1);
}

double largest(const float* values, size_t n) {
  double top = 0;
  for (size_t i = 0; i < n; ++i) {
    if (std::isfinite(values[i])) top = std::fmax(top, std::fabs(values[i]));
  }
  return top;
}

// The first element that differs, or -1.
ptrdiff_t difference(const Answer& want, const Answer& got) {
  const auto *a = static_cast<const char*>(want.data), *b = static_cast<const char*>(got.data);
  if (want.tolerance == 0) {
    for (size_t i = 0; i < want.count; ++i) {
      if (std::memcmp(a + i * want.size, b + i * want.size, want.size)) return ptrdiff_t(i);
    }
    return -1;
  }
  const auto *x = static_cast<const float*>(want.data), *y = static_cast<const float*>(got.data);
  const double allowed = want.tolerance * largest(x, want.count);
  for (size_t i = 0; i < want.count; ++i) {
    const bool same = std::isnan(x[i]) ? std::isnan(y[i]) : std::fabs(double(x[i]) - y[i]) <= allowed;
    if (!same && x[i] != y[i]) return ptrdiff_t(i);
  }
  return -1;
}

void show(const Answer& a, ptrdiff_t i) {
  if (a.size == 4) {
    std::fprintf(stderr, " %g (%#x)", double(static_cast<float*>(a.data)[i]),
                 static_cast<unsigned*>(a.data)[i]);
  } else {
    std::fprintf(stderr, " %#x", static_cast<unsigned char*>(a.data)[i * a.size]);
  }
}

bool run_case(const Check& check, uint64_t seed) {
  Case expected(seed, 1), found(seed, int(seed % 3) + 1);
  check.run(expected, true);
  check.run(found, false);
  bool same = expected.answers.size() == found.answers.size();
  for (size_t a = 0; same && a < expected.answers.size(); ++a) {
    const ptrdiff_t at = difference(expected.answers[a], found.answers[a]);
    if (at < 0) continue;
    std::fprintf(stderr, "%s: answer %zu differs at %td of %zu:", place, a, at,
                 expected.answers[a].count);
    show(expected.answers[a], at);
    show(found.answers[a], at);
    std::fprintf(stderr, "\n");
    same = false;
  }
  return same;
}

bool run_all(const std::string& backend, uint64_t cases) {
  bool right = true;
  int count = 0;
  for (const Check* check = checks; check; check = check->next, ++count) {
    for (uint64_t seed = 0; seed < cases && right; ++seed) {
      std::snprintf(place, sizeof place, "%s %s, seed %llu", backend.c_str(), check->name,
                    static_cast<unsigned long long>(seed));
      right = run_case(*check, seed);
    }
  }
  if (right) {
    std::printf("%s: %d checks, %llu cases each\n", backend.c_str(), count,
                static_cast<unsigned long long>(cases));
  }
  return right;
}

}  // namespace

Check::Check(const char* name_, void (*run_)(Case&, bool)) : name(name_), run(run_), next(checks) {
  checks = this;
}

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "%s: %s\n", place, what);
  std::exit(1);
}

Case::Case(uint64_t seed_, int threads_) : threads(threads_), seed(seed_), state(seed_ * 977 + 1) {}

Case::~Case() {
  for (const auto& [area, bytes] : areas) {
    if (!guards) {
      std::free(area);
    } else {
      munmap(area, bytes);
    }
  }
}

size_t Case::size(size_t low, size_t high) {  // splitmix64
  uint64_t z = state += 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return low + size_t((z ^ z >> 31) % (high - low + 1));
}

bool Case::chance(int in) { return size(1, size_t(in)) == 1; }

float Case::number() {  // a sum of four: near enough to normal
  double sum = 0;
  for (int i = 0; i < 4; ++i) sum += double(size(0, 1 << 20)) / (1 << 20) - 0.5;
  return float(sum * 1.7);
}

float* Case::floats(size_t n) {
  float* at = buffer<float>(n);
  for (size_t i = 0; i < n; ++i) at[i] = number();
  return at;
}

float* Case::whole_floats(size_t n, int most) {
  float* at = buffer<float>(n);
  for (size_t i = 0; i < n; ++i) at[i] = float(size(0, 2 * size_t(most))) - float(most);
  return at;
}

void* Case::guarded(size_t bytes) {
  if (!guards) {
    areas.emplace_back(std::malloc(bytes ? bytes : 1), bytes);
    return areas.back().first;
  }
  const size_t page = size_t(sysconf(_SC_PAGESIZE)), room = (bytes + page - 1) / page * page;
  void* mapped = mmap(nullptr, room + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) std::abort();
  areas.emplace_back(mapped, room + 2 * page);
  char* first = static_cast<char*>(mapped) + page;
  if (room && mprotect(first, room, PROT_READ | PROT_WRITE)) std::abort();
  return seed % 4 == 3 ? first : first + room - bytes;
}

int main(int count, char** words) {
  uint64_t cases = 60;
  std::vector<std::string> asked;
  for (int i = 1; i < count; ++i) {
    if (!std::strcmp(words[i], "--cases") && i + 1 < count) {
      cases = std::strtoull(words[++i], nullptr, 10);
    } else if (!std::strcmp(words[i], "--no-fork")) {
      forks = false;
    } else if (!std::strcmp(words[i], "--no-guards")) {
      guards = false;
    } else {
      asked.emplace_back(words[i]);
    }
  }
  if (guards) {
    for (const int signal : {SIGSEGV, SIGBUS, SIGILL}) std::signal(signal, say_place);
  }
  for (const std::string& backend : asked.empty() ? octavo::backends() : asked) {
    if (!octavo::use(backend)) {
      std::fprintf(stderr, "%s does not run here\n", backend.c_str());
      return 2;
    }
    if (!run_all(backend, cases)) return 1;
  }
  return 0;
}
