#include "runtime/dlpack.h"

#include <string>

namespace nb = nanobind;

namespace octavo {
namespace {

struct DlDevice {
  int32_t type, id;
};

struct DlTensor {
  void* data;
  DlDevice device;
  int32_t ndim;
  uint8_t code, bits;
  uint16_t lanes;
  int64_t *shape, *strides;
  uint64_t byte_offset;
};

struct DlExchange {
  uint32_t major, minor;
  void* older;
  void *allocate, *owned_from_object, *object_from_owned;  // not used here
  int (*borrow)(void* object, DlTensor* out);
  void* work_stream;
};

constexpr int32_t kCpu = 1;
constexpr uint32_t kMajor = 1;

const DlExchange* look_up(PyTypeObject* type) {
  const auto name = "__dlpack_c_exchange_api__";
  nb::object capsule = nb::getattr(nb::handle(reinterpret_cast<PyObject*>(type)), name, nb::none());
  if (!PyCapsule_IsValid(capsule.ptr(), "dlpack_exchange_api")) return nullptr;
  void* found = PyCapsule_GetPointer(capsule.ptr(), "dlpack_exchange_api");
  const auto* table = static_cast<const DlExchange*>(found);
  return table->major == kMajor ? table : nullptr;
}

// The exchange table of a tensor's type, remembered for the first few types (Tensor, Parameter).
const DlExchange* exchange_of(nb::handle tensor) {
  static struct {
    PyTypeObject* type;
    const DlExchange* table;
  } known[4];
  PyTypeObject* type = Py_TYPE(tensor.ptr());
  for (auto& entry : known) {
    if (entry.type == type) return entry.table;
    if (!entry.type) {
      entry.table = look_up(type);
      Py_INCREF(reinterpret_cast<PyObject*>(type));
      entry.type = type;
      return entry.table;
    }
  }
  return look_up(type);
}

[[noreturn]] void refuse(const char* what) {
  throw nb::value_error((std::string("native kernel: tensor ") + what).c_str());
}

bool contiguous(const DlTensor& t) {
  if (!t.strides) return true;
  int64_t step = 1;
  for (int i = t.ndim - 1; i >= 0; --i) {
    if (t.shape[i] != 1 && t.strides[i] != step) return t.shape[i] == 0;
    step *= t.shape[i];
  }
  return true;
}

// Without the exchange (torch before 2.10): ask the tensor itself.
View slow_view(nb::handle tensor, int bytes) {
  if (nb::cast<int>(tensor.attr("element_size")()) != bytes) refuse("has another element size");
  if (!nb::cast<bool>(tensor.attr("is_contiguous")())) refuse("is not contiguous");
  if (nb::cast<bool>(tensor.attr("is_cuda"))) refuse("is not on the CPU");
  View v;
  v.data = reinterpret_cast<char*>(nb::cast<uintptr_t>(tensor.attr("data_ptr")()));
  for (nb::handle size : tensor.attr("shape")) {
    if (v.dims == 8) refuse("has more than 8 dimensions");
    v.shape[v.dims++] = nb::cast<int64_t>(size);
  }
  return v;
}

}  // namespace

View view(nb::handle tensor, char kind, int bytes) {
  if (tensor.is_none()) return {};
  const DlExchange* exchange = exchange_of(tensor);
  if (!exchange) return slow_view(tensor, bytes);
  DlTensor t;
  if (exchange->borrow(tensor.ptr(), &t) != 0) throw nb::python_error();
  const uint8_t code = kind == 'f' ? 2 : kind == 'u' ? 1 : 0;
  if (t.device.type != kCpu) refuse("is not on the CPU");
  if (t.code != code || t.bits != bytes * 8 || t.lanes != 1) refuse("has another dtype");
  if (t.ndim > 8) refuse("has more than 8 dimensions");
  View v;
  v.dims = t.ndim;
  for (int i = 0; i < t.ndim; ++i) v.shape[i] = t.shape[i];
  if (v.count() && !contiguous(t)) refuse("is not contiguous");
  v.data = static_cast<char*>(t.data) + t.byte_offset;
  return v;
}

}  // namespace octavo
