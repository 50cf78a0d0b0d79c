// Products as kernels of torch's own dispatcher, through its stable C interface.
#pragma once
#include <cstdint>
#include <string>

#include "runtime/product.h"

namespace octavo {

// A kernel as torch calls it: arguments come, and the answer goes, in words of 64 bits.
using Boxed = void (*)(uint64_t* stack, uint64_t inputs, uint64_t outputs);

// Run a product on a stack of (x, tables, bias or none, sizes); the answer takes the place of x.
void run_boxed(const Product& product, uint64_t* stack);

// Call octavo::<name>_autograd where gradients are recorded, else octavo::<name>_forward.
void route_boxed(const Product& product, uint64_t* stack);

// Remember that this product can be given to torch, by its name.
void offer(const Product& product, Boxed run, Boxed route);

// Make the product of this name torch's kernel of three operations on the CPU, without Python:
// octavo::<name>, which on the way to its kernel asks whether gradients are recorded, and the two
// that it chooses from. False where this torch has no such interface, or nothing has the name.
bool give_to_torch(const std::string& name);

// Threads that torch would use.
int threads_of_torch();

}  // namespace octavo
