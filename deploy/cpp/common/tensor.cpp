#include "tensor.h"

#include <limits>

namespace mobileseg {

std::size_t item_size(DType dtype) {
  switch (dtype) {
    case DType::kUInt8:
      return 1;
    case DType::kFloat32:
    case DType::kInt32:
      return 4;
    case DType::kInt64:
      return 8;
  }
  throw std::logic_error("no such dtype");
}

const char* name_of(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return "float32";
    case DType::kUInt8:
      return "uint8";
    case DType::kInt32:
      return "int32";
    case DType::kInt64:
      return "int64";
  }
  throw std::logic_error("no such dtype");
}

std::size_t item_count(const std::vector<std::int64_t>& shape) {
  const std::size_t most = std::numeric_limits<std::ptrdiff_t>::max() / 8;  // 8 bytes an item at most
  std::size_t count = 1;
  for (const std::int64_t side : shape) {
    if (side <= 0 || static_cast<std::size_t>(side) > most / count) {
      throw Error("an array of shape " + describe(shape) + " cannot be: expected positive sides that fit into memory");
    }
    count *= static_cast<std::size_t>(side);
  }
  return count;
}

std::string describe(const std::vector<std::int64_t>& shape) {
  std::string text;
  for (const std::int64_t side : shape) {
    text += (text.empty() ? "" : ", ") + (side == -1 ? std::string("any") : std::to_string(side));
  }
  return "[" + text + "]";
}

}  // namespace mobileseg
