#include "lite_file.h"

#include <cctype>
#include <cstdint>
#include <cstdio>

#include "tensor.h"

namespace mobileseg {
namespace {

constexpr std::uint64_t kFormat = 2;
constexpr std::size_t kVersionSize = 16;

// Little-endian numbers one after the other, as paddle_mobileseg/runtime/lite_file.py describes them.
class Reader {
 public:
  explicit Reader(const std::string& content) : content_(content) {}

  std::string take(std::uint64_t size) {
    if (size > content_.size() - at_) throw Error("it is cut off; copy or convert it again");
    at_ += size;
    return content_.substr(at_ - size, size);
  }

  std::uint64_t number(int size) {
    const std::string bytes = take(static_cast<std::uint64_t>(size));
    std::uint64_t value = 0;
    for (int i = size - 1; i >= 0; --i) value = value << 8 | static_cast<unsigned char>(bytes[i]);
    return value;
  }

  void skip(std::uint64_t size) {
    if (size > content_.size() - at_) throw Error("it is cut off; copy or convert it again");
    at_ += size;
  }

 private:
  const std::string& content_;
  std::size_t at_ = 0;
};

// "v2.13-rc0" and "2.13-rc" are one release. Empty: the name of a branch.
std::string release(std::string version) {
  if (!version.empty() && version.front() == 'v') version.erase(0, 1);
  if (version.size() > 3 && version.compare(version.size() - 3, 3, "rc0") == 0) version.pop_back();
  const bool number = !version.empty() && std::isdigit(static_cast<unsigned char>(version.front())) != 0;
  return number && version.find('.') != std::string::npos ? version : "";
}

}  // namespace

std::string lite_version(const std::string& content) {
  Reader reader(content);
  const std::uint64_t format = reader.number(2);
  std::string version = reader.take(kVersionSize);
  version = version.substr(0, version.find('\0'));
  if (format != kFormat) {
    throw Error("it is no Paddle Lite file of format " + std::to_string(kFormat) + " (it begins with " +
                std::to_string(format) + "); convert it with opt 2.10 or later");
  }
  reader.skip(reader.number(8));  // the program
  reader.number(2);
  const std::uint64_t meta_size = reader.number(2);
  reader.number(2);
  const std::uint64_t tensors = reader.number(2);
  reader.number(4);
  reader.skip(meta_size);
  for (std::uint64_t i = 0; i < tensors; ++i) reader.skip(reader.number(4));
  return version;
}

void check_versions(const std::string& path, const std::string& file_version, const std::string& library_version) {
  const std::string of_file = release(file_version), of_library = release(library_version);
  if (of_file.empty() || of_library.empty()) {
    std::fprintf(stderr, "warning: %s is of Paddle Lite %s, the library of %s; whether they fit is not known\n",
                 path.c_str(), file_version.c_str(), library_version.c_str());
  } else if (of_file != of_library) {
    throw Error(path + " was converted by Paddle Lite " + file_version + ", but the library is " + library_version +
                "; build with the release v" + of_file + " of the library, or convert with opt " + of_library);
  }
}

}  // namespace mobileseg
