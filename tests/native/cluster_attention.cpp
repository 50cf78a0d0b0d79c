#include "cluster_attention/kernel.h"

#include "native.h"

OCTAVO_KERNEL(octavo::ClusterKernel, cluster_attention)

static void run(const octavo::ClusterKernel& kernel, Case& c) {
  const size_t heads = c.size(1, 3), queries = c.size(1, 200), keys = c.size(1, 150);
  const size_t clusters = c.size(1, queries < 20 ? queries : 20), d = c.size(1, 70);
  const size_t each = c.size(1, 128);
  auto* codes = c.integers<uint64_t>(heads * queries, 0, INT64_MAX - 1);
  auto* member = c.answer<int32_t>(heads * queries);
  octavo::hamming_kmeans(kernel, {codes, heads, queries, clusters, int(c.size(0, 5)), member,
                                  c.threads});

  const float *q = c.floats(heads * queries * d), *k = c.floats(heads * keys * d);
  const float* v = c.floats(heads * keys * d);
  const auto* top = c.integers<int32_t>(heads * clusters * each, 0, int64_t(keys) - 1);
  const float *mass = c.floats(heads * clusters), *base = c.floats(heads * clusters * d);
  float* out = c.answer<float>(heads * queries * d, 1e-5);
  octavo::cluster_attention(kernel, {q, k, v, member, top, mass, base, out, heads, queries, keys,
                                     clusters, each, d, 0.3f, c.threads});
}

OCTAVO_CHECK(cluster_attention, run)
