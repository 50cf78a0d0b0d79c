#include <algorithm>
#include <limits>
#include <vector>

#include "kmeans_assign/kernel.h"
#include "runtime/pool.h"

namespace octavo {
namespace {

constexpr size_t kTask = 1 << 14;  // numbers of a task
constexpr double kStepsPerMicrosecond = 5e3, kProductsPerMicrosecond = 4e4;
constexpr double kSumsPerMicrosecond = 1e3;
constexpr size_t kSumTask = 1 << 15;   // points of a task
constexpr size_t kSmallSums = 1 << 10; // sums of which several copies stay in the nearest cache
constexpr float kNever = std::numeric_limits<float>::infinity();

// Midpoints between neighbours, as the tree that descend() takes; those that lack are infinite.
void plant(const KmeansCall& call, float* tree, int levels) {
  tree[0] = 0;
  for (int level = 0; level < levels; ++level) {
    for (size_t j = 0; j < size_t{1} << level; ++j) {
      const size_t at = ((2 * j + 1) << (levels - 1 - level)) - 1;
      tree[(size_t{1} << level) + j] =
          at + 1 < call.k ? (call.centroids[at] + call.centroids[at + 1]) * 0.5f : kNever;
    }
  }
}

int levels_of(size_t k) {
  int levels = 1;
  while (size_t{1} << levels < k) ++levels;
  return levels;
}

void descend_far(const KmeansCall& call, const float* tree, int levels, size_t first, size_t last) {
  const int32_t most = int32_t(call.k) - 1;
  for (size_t i = first; i < last; ++i) {
    int32_t node = 1;
    for (int level = 0; level < levels; ++level) node = 2 * node + !(call.x[i] <= tree[node]);
    call.words[i] = std::min(node - (int32_t{1} << levels), most);
  }
}

void assign_numbers(const KmeansKernel& kernel, const KmeansCall& call) {
  const int levels = levels_of(call.k);
  // The first vectors are read whole: 64 floats of room whatever the levels.
  const size_t room = std::max<size_t>(size_t{1} << levels, 64) * sizeof(float);
  float* tree = reinterpret_cast<float*>(scratch(room));
  std::fill(tree, tree + room / sizeof(float), kNever);
  plant(call, tree, levels);
  const double cost = double(call.n) * levels / kStepsPerMicrosecond;
  parallel(call.threads, cost, (call.n + kTask - 1) / kTask, [&](size_t task) {
    const size_t first = task * kTask, last = std::min(call.n, first + kTask);
    if (call.words) return descend_far(call, tree, levels, first, last);
    kernel.descend(call.x + first, last - first, tree, levels, uint8_t(call.k - 1),
                   call.bytes + first);
  });
}

// Centroids in groups of kTogether, and half their squared lengths.
void pack(const KmeansCall& call, size_t groups, float* packed, float* halves) {
  std::fill(packed, packed + groups * kTogether * call.d, 0.0f);
  std::fill(halves, halves + groups * kTogether, kNever);
  for (size_t k = 0; k < call.k; ++k) {
    const float* from = call.centroids + k * call.d;
    float* to = packed + k / kTogether * kTogether * call.d + k % kTogether;
    double square = 0;
    for (size_t d = 0; d < call.d; ++d) {
      to[d * kTogether] = from[d];
      square += double(from[d]) * from[d];
    }
    halves[k] = float(square / 2);
  }
}

void assign_tile(const KmeansKernel& kernel, const KmeansCall& call, NearestTile tile, size_t first,
                 float* points, int32_t* codes) {
  const size_t count = std::min(kernel.width, call.n - first);
  for (size_t i = 0; i < kernel.width; ++i) {
    const float* from = call.x + (first + std::min(i, count - 1)) * call.d;
    for (size_t d = 0; d < call.d; ++d) points[d * kernel.width + i] = from[d];
  }
  tile.points = points;
  tile.codes = codes;
  kernel.nearest(tile);
  for (size_t i = 0; i < count; ++i) {
    if (call.words) {
      call.words[first + i] = codes[i];
    } else {
      call.bytes[first + i] = uint8_t(codes[i]);
    }
  }
}

void assign_vectors(const KmeansKernel& kernel, const KmeansCall& call) {
  const size_t groups = (call.k + kTogether - 1) / kTogether, packed = groups * kTogether;
  float* centroids = reinterpret_cast<float*>(scratch(packed * (call.d + 1) * sizeof(float)));
  float* halves = centroids + packed * call.d;
  pack(call, groups, centroids, halves);
  const size_t tiles = (call.n + kernel.width - 1) / kernel.width;
  const double cost = double(call.n) * packed * (call.d + 2) / kProductsPerMicrosecond;
  parallel(call.threads, cost, tiles, [&](size_t tile) {
    char* room = scratch(kernel.width * (call.d + 1) * sizeof(float), 1);
    auto* points = reinterpret_cast<float*>(room);
    assign_tile(kernel, call, {nullptr, call.d, centroids, halves, groups, nullptr},
                tile * kernel.width, points,
                reinterpret_cast<int32_t*>(points + kernel.width * call.d));
  });
}

// Points [first, last) to their rows of sums. Copies of the sums are taken in turn: neighbours of
// one code do not wait for each other.
template <size_t D, class Code>
void add_points(const KmeansSums& c, const Code* codes, size_t first, size_t last, size_t copies,
                double* sums) {
  const size_t d = D ? D : c.d, copy = c.k * (d + 1);
  for (size_t i = first; i < last; ++i) {
    double* to = sums + (i & (copies - 1)) * copy + size_t(codes[i]) * (d + 1);
    const double weight = c.weights ? double(c.weights[i]) : 1.0;
    for (size_t j = 0; j < d; ++j) to[j] += weight * double(c.x[i * d + j]);
    to[d] += weight;
  }
}

template <class Code>
void add_points_of(const KmeansSums& c, const Code* codes, size_t first, size_t last,
                   size_t copies, double* sums) {
  const auto add = c.d == 1 ? add_points<1, Code> : c.d == 8 ? add_points<8, Code>
                                                             : add_points<0, Code>;
  add(c, codes, first, last, copies, sums);
}

}  // namespace

// Parts stand by task, never by thread, and are added in order: the number of threads does not
// change a bit.
void kmeans_sums(const KmeansSums& c) {
  const size_t size = c.k * (c.d + 1), copies = size <= kSmallSums ? 4 : 1;
  const size_t step = std::max(kSumTask, 8 * c.k), tasks = (c.n + step - 1) / step;
  std::vector<double> parts(tasks * copies * size, 0.0);
  parallel(c.threads, double(c.n) * (c.d + 1) / kSumsPerMicrosecond, tasks, [&](size_t task) {
    const size_t first = task * step, last = std::min(c.n, first + step);
    double* sums = parts.data() + task * copies * size;
    if (c.words) return add_points_of(c, c.words, first, last, copies, sums);
    add_points_of(c, c.bytes, first, last, copies, sums);
  });
  for (size_t i = 0; i < parts.size(); ++i) c.sums[i % size] += parts[i];
}

void kmeans_assign(const KmeansKernel& kernel, const KmeansCall& call) {
  if (call.d) {
    assign_vectors(kernel, call);
  } else {
    assign_numbers(kernel, call);
  }
}

}  // namespace octavo
