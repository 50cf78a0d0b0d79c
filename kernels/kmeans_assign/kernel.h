// The nearest centroid: numbers among sorted ones, or short vectors.
#pragma once
#include <cstddef>
#include <cstdint>

namespace octavo {

constexpr int kMostLevels = 8;    // levels of a tree that the vector code descends: 256 centroids
constexpr size_t kTogether = 4;   // centroids of a packed group

// A tile of points against all centroids.
struct NearestTile {
  const float* points;     // [d][width]
  size_t d;
  const float* centroids;  // [groups][d][kTogether]
  const float* halves;     // [groups][kTogether]: half of the squared length; infinite where padded
  size_t groups;
  int32_t* codes;          // [width]
};

struct KmeansKernel {
  // codes[i] = the leaf that x[i] falls to in a tree of 2^levels - 1 thresholds, tree[1] its root,
  // tree[2 j] and tree[2 j + 1] under tree[j].
  void (*descend)(const float* x, size_t n, const float* tree, int levels, uint8_t last,
                  uint8_t* codes);
  size_t width;            // points of a tile
  void (*nearest)(const NearestTile&);
};

struct KmeansCall {
  const float* x;
  size_t n, d;             // d = 0: numbers, centroids ascending
  const float* centroids;
  size_t k;
  uint8_t* bytes;          // the codes, if k <= 256
  int32_t* words;          // the codes, if k > 256
  int threads;
};

struct KmeansSums {
  const float *x, *weights;  // [n][d]; weights: (n,), or null for ones
  size_t n, d;
  const uint8_t* bytes;      // the codes, one of these two
  const int32_t* words;
  size_t k;
  double* sums;              // [k][d + 1]: weighted sums, then the weight; zeros on entry
  int threads;
};

void kmeans_assign(const KmeansKernel& kernel, const KmeansCall& call);
void kmeans_sums(const KmeansSums& call);

}  // namespace octavo
