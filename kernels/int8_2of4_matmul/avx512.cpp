#include "int8_2of4_matmul/kernel.h"
#define OCTAVO_LANES 16
#include <immintrin.h>

#include "runtime/finish.inc"
#include "runtime/quantize.inc"

namespace {

using namespace octavo::two_of_four;

constexpr int MOST = 72;
constexpr size_t kChunk = 16;  // blocks

// Weights of 16 columns by 8 inputs, and which of the inputs each picks.
struct Step {
  __m512i weights, index;
};

// Places of 16 columns, four of 2 bits in a byte, as the bytes of two groups of 4 inputs.
inline __m512i picks(const uint8_t* places) {
  const __m128i packed = _mm_loadu_si128(reinterpret_cast<const __m128i*>(places));
  const __m512i starts = _mm512_set1_epi32(0x04040000), mask = _mm512_set1_epi32(0x03030303);
  __m512i all = _mm512_cvtepu8_epi32(packed);
  all = _mm512_or_si512(all, _mm512_slli_epi32(all, 12));
  all = _mm512_or_si512(all, _mm512_slli_epi32(all, 6));
  return _mm512_ternarylogic_epi32(all, mask, starts, 0xEA);  // all & mask | starts
}

// The 16 columns of step 0 or 1 of a block.
inline Step load_step(const uint8_t* block, int step, size_t column) {
  return {_mm512_loadu_si512(block + step * kStep + column * 4),
          picks(block + kPlaces + step * kColumns + column)};
}

// sum += weights times what they pick of a row's 8 inputs: 8, as only broadcasts of up to 8 bytes
// are free of the shuffling pipes. In assembly because GCC 12 loads the inputs of all rows first
// and has no registers left.
__attribute__((always_inline)) inline __m512i meet(__m512i sum, const Step& s, const uint8_t* x) {
  __m512i inputs;
  asm("vpbroadcastq %2, %1\n\tvpshufb %3, %1, %1\n\tvpdpbusd %4, %1, %0"
      : "+v"(sum), "=&v"(inputs)
      : "m"(*reinterpret_cast<const int64_t*>(x)), "v"(s.index), "v"(s.weights));
  return sum;
}

// Sums of one row and 16 columns as floats.
__attribute__((always_inline)) inline void write(__m512i sum, float step, __m512 scale, float* to) {
  _mm512_store_ps(to, _mm512_mul_ps(_mm512_cvtepi32_ps(sum), _mm512_mul_ps(scale, _mm512_set1_ps(step))));
}

// Few rows: ROWS x COUNT registers of sums, 16 columns each. Activations are stored plus 128, as
// the product wants one unsigned side; the head of the panel takes that off.
template <int ROWS, int COUNT>
inline void multiply_columns(const IntegerTile& t, size_t column, float* sums) {
  const auto* x = static_cast<const uint8_t*>(t.codes);
  const uint8_t* block = t.panel + kHead;
  __m512i acc[ROWS][COUNT];
#pragma GCC unroll 12
  for (int r = 0; r < ROWS; ++r) {
#pragma GCC unroll 4
    for (int c = 0; c < COUNT; ++c) {
      acc[r][c] = _mm512_loadu_si512(t.panel + (column + c * 16) * 4);
    }
  }
  for (size_t k = t.padded; k; k -= kInputs, x += kInputs * ROWS, block += kBlock) {
#pragma GCC unroll 8
    for (int i = 0; i < 2 * COUNT; ++i) {
      const int step = i / COUNT, c = i % COUNT;
      const Step s = load_step(block, step, column + c * 16);
#pragma GCC unroll 12
      for (int r = 0; r < ROWS; ++r) acc[r][c] = meet(acc[r][c], s, x + r * kInputs + step * 8);
    }
  }
#pragma GCC unroll 4
  for (int c = 0; c < COUNT; ++c) {
    const size_t to = column + c * 16;
    const __m512 scale = _mm512_loadu_ps(t.scales + to);
#pragma GCC unroll 12
    for (int r = 0; r < ROWS; ++r) write(acc[r][c], t.steps[r], scale, sums + r * kColumns + to);
  }
}

template <int ROWS>
struct Multiply {
  static void run(const IntegerTile& t) {
    alignas(64) float sums[ROWS * kColumns];
    constexpr int COUNT = ROWS <= 6 ? 4 : 2;
    for (size_t column = 0; column < t.columns; column += COUNT * 16) {
      multiply_columns<ROWS, COUNT>(t, column, sums);
    }
    finish(t, sums);
  }
};

// A chunk of blocks of 16 columns, unpacked once for all rows.
struct Chunk {
  const uint8_t* weights;  // of its first block and column
  size_t blocks;
  __m512i index[kChunk][2];
};

// ROWS sums of 16 columns, which stand in memory between chunks; rows of x are in blocks of
// `stride` bytes.
template <int ROWS>
void add_chunk(const Chunk& chunk, const uint8_t* x, size_t stride, __m512i* sums) {
  __m512i acc[ROWS];
#pragma GCC unroll 24
  for (int r = 0; r < ROWS; ++r) acc[r] = sums[r];
  const uint8_t* block = chunk.weights;
  for (size_t i = 0; i < chunk.blocks; ++i, x += stride, block += kBlock) {
#pragma GCC unroll 2
    for (int step = 0; step < 2; ++step) {
      const Step s = {_mm512_loadu_si512(block + step * kStep), chunk.index[i][step]};
#pragma GCC unroll 24
      for (int r = 0; r < ROWS; ++r) acc[r] = meet(acc[r], s, x + r * kInputs + step * 8);
    }
  }
#pragma GCC unroll 24
  for (int r = 0; r < ROWS; ++r) sums[r] = acc[r];
}

constexpr void (*kAddChunk[])(const Chunk&, const uint8_t*, size_t, __m512i*) = {
    add_chunk<12>, add_chunk<13>, add_chunk<14>, add_chunk<15>, add_chunk<16>,
    add_chunk<17>, add_chunk<18>, add_chunk<19>, add_chunk<20>, add_chunk<21>,
    add_chunk<22>, add_chunk<23>, add_chunk<24>};

// 16 columns of all rows, at most 24 of them at a time.
void add_rows(const IntegerTile& t, size_t column, __m512i* sums) {
  const size_t stride = t.rows * kInputs, blocks = t.padded / kInputs;
  const size_t parts = (t.rows + 23) / 24;
  const auto* x = static_cast<const uint8_t*>(t.codes);
  Chunk chunk;
  for (size_t first = 0; first < blocks; first += kChunk, x += kChunk * stride) {
    const uint8_t* block = t.panel + kHead + first * kBlock;
    chunk.weights = block + column * 4;
    chunk.blocks = blocks - first < kChunk ? blocks - first : kChunk;
    for (size_t i = 0; i < chunk.blocks; ++i, block += kBlock) {
      for (int step = 0; step < 2; ++step) {
        chunk.index[i][step] = picks(block + kPlaces + step * kColumns + column);
      }
    }
    for (size_t part = 0; part < parts; ++part) {
      const size_t row = t.rows * part / parts, rows = t.rows * (part + 1) / parts - row;
      kAddChunk[rows - 12](chunk, x + row * kInputs, stride, sums + row);
    }
  }
}

void multiply(const IntegerTile& t) {
  if (t.rows <= 12) return by_rows<Multiply, 12>(t);
  __m512i sums[MOST];
  alignas(64) float answers[MOST * kColumns];
  for (size_t column = 0; column < t.columns; column += 16) {
    const __m512i head = _mm512_loadu_si512(t.panel + column * 4);
    const __m512 scale = _mm512_loadu_ps(t.scales + column);
    for (size_t r = 0; r < t.rows; ++r) sums[r] = head;
    add_rows(t, column, sums);
    for (size_t r = 0; r < t.rows; ++r) {
      write(sums[r], t.steps[r], scale, answers + r * kColumns + column);
    }
  }
  finish(t, answers);
}

}  // namespace

extern const octavo::IntegerKernel int8_2of4_matmul_avx512;
const octavo::IntegerKernel int8_2of4_matmul_avx512 = {
    MOST, sizeof(uint8_t), quantize<uint8_t, kInputs>, multiply};
