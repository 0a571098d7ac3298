// The frame of a Paddle Lite file (.nb), read before Paddle Lite sees it: it aborts the process on one that is cut off.
#pragma once

#include <string>

namespace mobileseg {

// Version of the converter that wrote the file, such as "2.13-rc". Throws Error: no such file, or cut off.
std::string lite_version(const std::string& content);

// Throws Error where a file's version and the library's are different releases; warns on stderr where the library was
// built from a branch, whose name cannot be compared.
void check_versions(const std::string& path, const std::string& file_version, const std::string& library_version);

}  // namespace mobileseg
