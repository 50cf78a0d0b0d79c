#include <algorithm>

#include "cluster_attention/kernel.h"
#include "runtime/pool.h"

namespace octavo {
namespace {

constexpr double kDistancesPerMicrosecond = 2e3, kProductsPerMicrosecond = 2.5e4;

// A centre becomes the bits that more than half of its members have; one without members stays.
bool move(const HammingHead& h) {
  bool moved = false;
  for (size_t c = 0; c < h.clusters; ++c) {
    const int32_t *counts = h.counts + c * (kBits + 1), members = counts[kBits];
    if (!members) continue;
    uint64_t centre = 0;
    for (size_t i = 0; i < kBits; ++i) centre |= uint64_t(2 * counts[i] > members) << i;
    moved |= centre != h.centres[c];
    h.centres[c] = centre;
  }
  return moved;
}

// The members of each cluster, by counting: order [queries], starts [clusters + 1].
void sort_by_cluster(const int32_t* member, size_t queries, size_t clusters, int32_t* order,
                     int32_t* starts) {
  std::fill_n(starts, clusters + 1, 0);
  for (size_t i = 0; i < queries; ++i) ++starts[member[i] + 1];
  for (size_t c = 0; c < clusters; ++c) starts[c + 1] += starts[c];
  for (size_t i = 0; i < queries; ++i) order[starts[member[i]]++] = int32_t(i);
  for (size_t c = clusters; c > 0; --c) starts[c] = starts[c - 1];
  starts[0] = 0;
}

}  // namespace

void hamming_kmeans(const ClusterKernel& kernel, const HammingCall& call) {
  const size_t n = call.queries, clusters = call.clusters;
  const double cost = double(call.heads) * n * clusters * (call.iterations + 1);
  const size_t room = clusters * (sizeof(uint64_t) + (kBits + 1) * sizeof(int32_t));
  parallel(call.threads, cost / kDistancesPerMicrosecond, call.heads, [&](size_t head) {
    auto* centres = reinterpret_cast<uint64_t*>(scratch(room, 1));
    const HammingHead h = {call.codes + head * n, n, centres, clusters, call.member + head * n,
                           reinterpret_cast<int32_t*>(centres + clusters)};
    for (size_t c = 0; c < clusters; ++c) centres[c] = h.codes[c * n / clusters];
    kernel.assign(h);
    for (int i = 0; i < call.iterations; ++i) {
      kernel.count(h);
      if (!move(h)) break;
      kernel.assign(h);
    }
  });
}

// A task is one cluster of one head.
void cluster_attention(const ClusterKernel& kernel, const ClusterCall& c) {
  const size_t stride = c.queries + c.clusters + 1;
  auto* sorted = reinterpret_cast<int32_t*>(scratch(c.heads * stride * sizeof(int32_t), 0));
  for (size_t head = 0; head < c.heads; ++head) {
    int32_t* order = sorted + head * stride;
    sort_by_cluster(c.member + head * c.queries, c.queries, c.clusters, order, order + c.queries);
  }
  const double cost = 2.0 * c.heads * c.queries * c.each * c.d / kProductsPerMicrosecond;
  parallel(c.threads, cost, c.heads * c.clusters, [&](size_t task) {
    const size_t head = task / c.clusters, cluster = task % c.clusters;
    const int32_t *order = sorted + head * stride, *starts = order + c.queries + cluster;
    if (starts[0] == starts[1]) return;
    kernel.attend({c.q + head * c.queries * c.d, c.k + head * c.keys * c.d,
                   c.v + head * c.keys * c.d, c.out + head * c.queries * c.d, order + starts[0],
                   size_t(starts[1] - starts[0]), c.top + task * c.each, c.each, c.d, c.scale,
                   c.mass[task], c.base + task * c.d,
                   reinterpret_cast<float*>(scratch(cluster_room(c.d) * sizeof(float), 1))});
  });
}

}  // namespace octavo
