// Files: whole contents, SHA-256, and writing that leaves either the old file or the new one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace mobileseg {

// Throws Error: no such file, or it cannot be read.
std::string read_file(const std::string& path);

// Writes a temporary file beside the target and renames it; missing parent folders are made. Throws Error.
void write_file(const std::string& path, const void* content, std::size_t size);

// In hexadecimal (FIPS 180-4).
std::string sha256(const std::string& content);

}  // namespace mobileseg
