// What decoders do not look at: whether an image file is complete, and how its camera was held.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace mobileseg {

// Of PNG chunks (ISO 3309).
std::uint32_t crc32(const void* bytes, std::size_t size);

struct ContainerFacts {
  int orientation = 1;  // EXIF: 1 to 8
  int width = 0;
  int height = 0;
};

// Throws Error: neither JPEG nor PNG, or its end is missing, or (PNG) a chunk's checksum is wrong.
ContainerFacts inspect(const std::string& content);

}  // namespace mobileseg
