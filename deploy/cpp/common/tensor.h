// Arrays that go into and come out of a graph, whatever runs it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace mobileseg {

// A mistake of the user or a damaged file: the message says what was got, what was expected, what to do.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Of images, in pixels: far beyond what memory holds in both directions, and offsets in a row still fit into an int.
constexpr int kLongestSide = 1 << 24;

enum class DType { kFloat32, kUInt8, kInt32, kInt64 };

std::size_t item_size(DType dtype);
const char* name_of(DType dtype);  // NumPy's

struct Tensor {
  DType dtype = DType::kFloat32;
  std::vector<std::int64_t> shape;
  std::vector<std::uint8_t> bytes;  // row-major, of this machine's byte order

  template <typename T>
  const T* data() const {
    return reinterpret_cast<const T*>(bytes.data());
  }
};

// Product of the sides. Throws Error where it does not fit into memory's range, or a side is not positive.
std::size_t item_count(const std::vector<std::int64_t>& shape);

std::string describe(const std::vector<std::int64_t>& shape);  // "[1, 3, any, any]": -1 is "any"

// What runs a graph. run() throws Error.
class Runner {
 public:
  virtual ~Runner() = default;
  virtual Tensor run(const Tensor& input) = 0;
};

}  // namespace mobileseg
