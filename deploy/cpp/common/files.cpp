#include "files.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <system_error>

#include <unistd.h>

#include "tensor.h"

namespace mobileseg {
namespace {

struct Closer {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, Closer>;

void fill(std::FILE* file, const void* content, std::size_t size) {
  if (std::fwrite(content, 1, size, file) != size || std::fflush(file) != 0 || fsync(fileno(file)) != 0) {
    throw Error(std::strerror(errno));
  }
}

}  // namespace

std::string read_file(const std::string& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) throw Error(path + " is a folder; expected a file");
  const File file(std::fopen(path.c_str(), "rb"));
  if (!file) throw Error("cannot read " + path + ": " + std::strerror(errno));
  std::string content;
  std::vector<char> chunk(1 << 20);
  while (const std::size_t got = std::fread(chunk.data(), 1, chunk.size(), file.get())) {
    content.append(chunk.data(), got);
  }
  if (std::ferror(file.get()) != 0) throw Error("cannot read " + path + ": " + std::strerror(errno));
  return content;
}

void write_file(const std::string& path, const void* content, std::size_t size) {
  namespace fs = std::filesystem;
  const fs::path target(path);
  const std::string advice = "; choose another output";
  std::error_code problem, ignored;
  if (fs::is_directory(target, ignored)) throw Error(path + " is a folder; give the name of a file to write");
  if (target.has_parent_path()) fs::create_directories(target.parent_path(), problem);
  if (problem) throw Error("cannot write " + path + ": " + problem.message() + advice);

  const fs::path folder = target.has_parent_path() ? target.parent_path() : fs::path(".");
  std::string temporary = (folder / ("." + target.filename().string() + ".XXXXXX")).string();
  const int descriptor = mkstemp(temporary.data());
  if (descriptor == -1) throw Error("cannot write " + path + ": " + std::strerror(errno) + advice);
  try {
    {
      const File file(fdopen(descriptor, "wb"));
      fill(file.get(), content, size);
    }
    fs::permissions(temporary, fs::perms::owner_read | fs::perms::owner_write | fs::perms::group_read |
                                   fs::perms::others_read);  // mkstemp lets only the owner read
    fs::rename(temporary, target);
  } catch (const std::exception& error) {
    std::remove(temporary.c_str());
    throw Error("cannot write " + path + ": " + error.what() + advice);
  }
}

}  // namespace mobileseg
