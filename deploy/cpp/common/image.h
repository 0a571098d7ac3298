// Reading images, and writing label maps.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "grid.h"

namespace mobileseg {

// A JPEG or PNG file as 8-bit RGB: EXIF orientation applied, alpha dropped, gray and palette as RGB, the high byte of
// 16 bits. Throws Error: missing, of another format, corrupt, truncated, or more than 100 million pixels.
Image read_image(const std::string& path);

// Class indices 0 to 255 as an 8-bit palette PNG: viewers show colours, readers get the indices back; colours that the
// palette lacks are black. The file appears whole or not at all. Throws Error.
void write_labels(const std::string& path, const Grid<std::int32_t>& labels,
                  const std::vector<std::array<std::uint8_t, 3>>& palette);

}  // namespace mobileseg
