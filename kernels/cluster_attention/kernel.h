// Hamming k-means over hashed queries, and attention of each cluster to its own few keys.
#pragma once
#include <cstddef>
#include <cstdint>

#include "runtime/attention.h"

namespace octavo {

constexpr size_t kBits = 64;  // of a code

struct HammingCall {
  const uint64_t* codes;  // [heads][queries]
  size_t heads, queries, clusters;
  int iterations;
  int32_t* member;        // [heads][queries]: the cluster of each
  int threads;
};

// Of one head.
struct HammingHead {
  const uint64_t* codes;
  size_t queries;
  uint64_t* centres;      // [clusters]
  size_t clusters;
  int32_t* member;
  int32_t* counts;        // [clusters][kBits + 1]: how often each bit is set, then the members
};

// One cluster of one head: rows of q, k, v and out are d numbers long.
struct ClusterTile {
  const float *q, *k, *v;
  float* out;
  const int32_t* queries;  // the cluster's members
  size_t count;
  const int32_t* keys;     // its keys
  size_t top, d;           // at most kTileKeys
  float scale, mass;       // mass: what its keys hold of the cluster's attention
  const float* base;       // [d] what the other keys add
  float* room;             // cluster_room(d) floats, 64-byte aligned
};

// Floats: that of a tile; the cluster's keys and values; rows on their way, one a lane.
constexpr size_t cluster_room(size_t d) { return attention_room(d) + (2 * kTileKeys + 16) * d; }

struct ClusterKernel {
  void (*assign)(const HammingHead&);  // each query to its nearest centre, the lower of two
  void (*count)(const HammingHead&);   // the bits and the members of each cluster
  void (*attend)(const ClusterTile&);
};

struct ClusterCall {
  const float *q, *k, *v;               // [heads][queries or keys][d]
  const int32_t *member, *top;          // [heads][queries], [heads][clusters][keys of each]
  const float *mass, *base;             // [heads][clusters], [heads][clusters][d]
  float* out;                           // [heads][queries][d]
  size_t heads, queries, keys, clusters, each, d;
  float scale;
  int threads;
};

void hamming_kmeans(const ClusterKernel& kernel, const HammingCall& call);
void cluster_attention(const ClusterKernel& kernel, const ClusterCall& call);

}  // namespace octavo
