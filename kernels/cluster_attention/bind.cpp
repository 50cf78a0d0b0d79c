#include "cluster_attention/kernel.h"
#include "runtime/bind.h"

namespace nb = nanobind;

OCTAVO_KERNEL(octavo::ClusterKernel, cluster_attention)

namespace octavo {
namespace {

void kmeans(nb::handle codes_, nb::handle member_, size_t clusters, int iterations, int threads) {
  const View codes = view(codes_, 'i', 8), member = view(member_, 'i', 4);
  const size_t count = member.count(), queries = member.last();
  if (!count) return;
  check(codes.count() == int64_t(count), "codes and clusters differ in number");
  check(clusters >= 1 && clusters <= queries, "there must be 1 cluster to one for each query");
  nb::gil_scoped_release free;
  hamming_kmeans(cluster_attention_in_use(), {codes.as<uint64_t>(), count / queries, queries,
                                              clusters, iterations, member.as<int32_t>(), threads});
}

bool below(const View& numbers, size_t end) {
  bool fits = true;
  for (int64_t i = 0; i < numbers.count(); ++i) {
    const int32_t number = numbers.as<int32_t>()[i];
    fits &= number >= 0 && size_t(number) < end;
  }
  return fits;
}

void call(nb::handle q_, nb::handle k_, nb::handle v_, nb::handle member_, nb::handle top_,
          nb::handle mass_, nb::handle base_, nb::handle out_, float scale, int threads) {
  const View q = view(q_, 'f', 4), k = view(k_, 'f', 4), v = view(v_, 'f', 4);
  const View member = view(member_, 'i', 4), top = view(top_, 'i', 4);
  const View mass = view(mass_, 'f', 4), base = view(base_, 'f', 4), out = view(out_, 'f', 4);
  if (!out.count()) return;
  check(q.dims == 4 && k.dims == 4 && top.dims == 4 && q.count() == out.count() &&
            k.count() == v.count() && k.shape[3] == q.shape[3],
        "q, k, v and out do not fit");
  const size_t heads = q.shape[0] * q.shape[1], d = q.shape[3], clusters = top.shape[2];
  check(k.shape[0] * k.shape[1] == int64_t(heads) && top.shape[0] * top.shape[1] == int64_t(heads),
        "q, k and top differ in heads");
  check(top.last() >= 1 && top.last() <= int64_t(kTileKeys), "a cluster takes 1 to 128 keys");
  check(member.count() * int64_t(d) == q.count() && mass.count() == int64_t(heads * clusters) &&
            base.count() == int64_t(heads * clusters * d),
        "clusters do not fit q");
  check(below(member, clusters) && below(top, k.shape[2]), "a cluster or a key is not there");
  nb::gil_scoped_release free;
  cluster_attention(cluster_attention_in_use(),
                    {q.as<float>(), k.as<float>(), v.as<float>(), member.as<int32_t>(),
                     top.as<int32_t>(), mass.as<float>(), base.as<float>(), out.as<float>(), heads,
                     size_t(q.shape[2]), size_t(k.shape[2]), clusters, size_t(top.last()), d,
                     scale, threads});
}

}  // namespace

void bind_cluster_attention(nb::module_& m) {
  m.def("hamming_kmeans", kmeans);
  m.def("cluster_attention", call);
}

}  // namespace octavo
