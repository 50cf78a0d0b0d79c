// What this CPU can do at most: loops of one instruction, and reads that nothing waits for.
#pragma once
#include <cstddef>

namespace octavo {

constexpr int kUnits = 6;
constexpr const char* kUnitNames[kUnits] = {"fma", "vnni", "fadd", "sad", "shuffle", "popcount"};

struct RooflineKernel {
  struct Unit {
    // Repeat a body of independent instructions; null where the instruction set has none.
    void (*spin)(size_t rounds);
    double operations;           // of one round
    const char* needs = nullptr;  // an instruction set beyond that of the file
  } units[kUnits];
  void (*read)(const char* bytes, size_t count);  // count a multiple of 1024
};

}  // namespace octavo
