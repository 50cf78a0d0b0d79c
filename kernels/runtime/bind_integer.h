// What the bindings of the integer products share.
#pragma once
#include "runtime/bind.h"
#include "runtime/integer.h"

namespace octavo {

struct IntegerKind {
  const IntegerKernel& kernel;
  size_t step, per_byte;  // inputs of a packed step, codes a byte
};

struct IntegerWeight {
  View codes, scales, bias;
  size_t group;           // inputs a group, 0 for a whole row
  float step = 0;         // of the activations, 0 to find one a row and group
};

inline IntegerWeight integer_weight(nanobind::handle codes, nanobind::handle scales,
                                    nanobind::handle bias, size_t group) {
  return {view(codes, 'u', 1), view(scales, 'f', 4), view(bias, 'f', 4), group};
}

// Check the packed weight against m rows of k inputs, and multiply.
inline void multiply(const IntegerKind& kind, const float* x, const Geometry* patches, size_t m,
                     size_t k, const IntegerWeight& w, const View& out, int threads) {
  const size_t n = out.last(), padded = (k + kind.step - 1) / kind.step * kind.step;
  const size_t panels = (n + kColumns - 1) / kColumns;
  const size_t groups = w.group ? (k + w.group - 1) / w.group : 1;
  const size_t panel_bytes = padded * kColumns / kind.per_byte;
  check(w.codes.count() == int64_t(panels * panel_bytes), "codes do not fit x and out");
  check(w.scales.count() == int64_t(panels * groups * kColumns), "scales do not fit x and out");
  check(!w.bias.data || w.bias.count() == int64_t(n), "bias does not fit out");
  integer_matmul(kind.kernel, {x, patches, m, k, n, padded, groups == 1 ? padded : w.group, groups,
                               panel_bytes, w.codes.as<uint8_t>(), w.scales.as<float>(),
                               w.bias.as<float>(), out.as<float>(), threads, w.step});
}

// out (m, n) = x (m, k) times the packed weight, plus bias; without Python's lock.
inline void multiply_rows(const IntegerKind& kind, const Operands& o, size_t group) {
  check(o.x.count() == int64_t(o.rows() * o.k()), "x and out differ in rows");
  multiply(kind, o.x.as<float>(), nullptr, o.rows(), o.k(),
           {o.tables[0], o.tables[1], o.bias, group, o.step.data ? *o.step.as<float>() : 0}, o.out,
           o.threads);
}

// The same from Python, into a tensor that is there.
inline void multiply_into(const IntegerKind& kind, const View& x, const IntegerWeight& w,
                          const View& out, int threads) {
  if (!out.count()) return;
  const size_t n = out.last(), k = x.last(), m = out.count() / n;
  check(x.count() == int64_t(m * k), "x and out differ in rows");
  nanobind::gil_scoped_release free;
  multiply(kind, x.as<float>(), nullptr, m, k, w, out, threads);
}

}  // namespace octavo
