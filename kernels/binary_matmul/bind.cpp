#include "binary_matmul/kernel.h"
#include "runtime/bind_integer.h"
#include "runtime/pool.h"

namespace nb = nanobind;

OCTAVO_VNNI_KERNEL(octavo::IntegerKernel, binary_matmul)
OCTAVO_POPCOUNT_KERNEL(octavo::SignsKernel, xnor_matmul)

namespace octavo {
namespace {

constexpr size_t kWord = 32;  // inputs
constexpr size_t kTask = 16;  // rows
constexpr double kFloatsPerMicrosecond = 3e3;

void call(nb::handle x, nb::handle codes, nb::handle scales, nb::handle bias, nb::handle out,
          int threads) {
  multiply_into({binary_matmul_in_use(), kWord, 8}, view(x, 'f', 4),
                integer_weight(codes, scales, bias, 0), view(out, 'f', 4), threads);
}

void call_signs(nb::handle x, nb::handle codes, nb::handle scales, nb::handle bias, nb::handle out,
                int threads) {
  multiply_into({xnor_matmul_in_use().floats, kWord, 8}, view(x, 'f', 4),
                integer_weight(codes, scales, bias, 0), view(out, 'f', 4), threads);
}

size_t words_of(size_t k) { return (k + kWord - 1) / kWord; }

// Rows of words, each behind its mean, for k inputs.
void call_words(nb::handle words_, nb::handle codes_, nb::handle scales_, nb::handle bias_,
                nb::handle out_, size_t k, int threads) {
  const View words = view(words_, 'i', 4), codes = view(codes_, 'u', 1);
  const View scales = view(scales_, 'f', 4), bias = view(bias_, 'f', 4), out = view(out_, 'f', 4);
  if (!out.count()) return;
  const size_t n = out.last(), m = out.count() / n, row = words_of(k) + 1;
  const size_t panels = (n + kColumns - 1) / kColumns, padded = words_of(k) * kWord;
  check(words.count() == int64_t(m * row), "words do not fit k and out");
  check(codes.count() == int64_t(panels * padded * kColumns / 8), "codes do not fit k and out");
  check(scales.count() == int64_t(panels * kColumns), "scales do not fit out");
  check(!bias.data || bias.count() == int64_t(n), "bias does not fit out");
  nb::gil_scoped_release free;
  integer_matmul(xnor_matmul_in_use().words,
                 {words.as<float>(), nullptr, m, row, n, padded, k, 1, padded * kColumns / 8,
                  codes.as<uint8_t>(), scales.as<float>(), bias.as<float>(), out.as<float>(),
                  threads});
}

void binarize(nb::handle x_, nb::handle words_, int threads) {
  const View x = view(x_, 'f', 4), words = view(words_, 'i', 4);
  if (!words.count() || !x.count()) return;
  const size_t k = x.last(), m = x.count() / k, row = words_of(k) + 1;
  check(words.count() == int64_t(m * row), "words do not fit x");
  const IntegerKernel& kernel = xnor_matmul_in_use().floats;
  nb::gil_scoped_release free;
  parallel(threads, m * k / kFloatsPerMicrosecond, (m + kTask - 1) / kTask, [&](size_t task) {
    for (size_t r = task * kTask; r < m && r < (task + 1) * kTask; ++r) {
      int32_t inputs, *to = words.as<int32_t>() + r * row;
      auto* mean = reinterpret_cast<float*>(to);
      kernel.quantize({x.as<float>() + r * k, 1, k, words_of(k) * kWord, k, 1, to + 1, mean,
                       &inputs});
    }
  });
}

}  // namespace

void bind_binary_matmul(nb::module_& m) {
  const nb::arg must;
  const auto maybe = nb::arg().none();
  m.def("binary_matmul", call, must, must, must, maybe, must, must);
  m.def("xnor_matmul", call_signs, must, must, must, maybe, must, must);
  m.def("xnor_matmul_words", call_words, must, must, must, maybe, must, must, must);
  m.def("binarize", binarize);
}

}  // namespace octavo
