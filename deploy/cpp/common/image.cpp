#include "image.h"

#include <algorithm>
#include <memory>

#include "container.h"
#include "files.h"
#include "tensor.h"

// The library is other people's and is not written for our warnings.
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wall"
#pragma GCC diagnostic ignored "-Wextra"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#pragma GCC diagnostic ignored "-Wsign-compare"
#endif
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_NO_STDIO
#define STBI_MAX_DIMENSIONS (1 << 24)
#include <stb_image.h>
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#include <stb_image_write.h>
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

namespace mobileseg {
namespace {

constexpr std::int64_t kMaxPixels = 100'000'000;
constexpr int kCompression = 8;  // of stb's own scale; its usual value

Image decoded(const std::string& content) {
  if (content.size() > std::size_t{1} << 30) throw Error("the file has more than 1 GiB");
  int width = 0, height = 0, channels = 0;
  const auto* bytes = reinterpret_cast<const stbi_uc*>(content.data());
  const std::unique_ptr<stbi_uc, void (*)(void*)> pixels(
      stbi_load_from_memory(bytes, static_cast<int>(content.size()), &width, &height, &channels, 3), stbi_image_free);
  if (!pixels) throw Error(std::string("corrupt image: ") + stbi_failure_reason());
  Image image(height, width, 3);
  std::copy_n(pixels.get(), image.values.size(), image.values.begin());
  return image;
}

// Turned so that its top is up: EXIF's orientations are mirrorings and quarter turns.
Image upright(const Image& image, int orientation) {
  if (orientation == 1) return image;
  const bool turned = orientation >= 5;
  const bool from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool from_below = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  Image result(turned ? image.width : image.height, turned ? image.height : image.width, 3);
  for (int y = 0; y < result.height; ++y) {
    for (int x = 0; x < result.width; ++x) {
      int from_y = turned ? x : y, from_x = turned ? y : x;
      if (from_below) from_y = image.height - 1 - from_y;
      if (from_right) from_x = image.width - 1 - from_x;
      std::copy_n(image.row(from_y) + from_x * 3, 3, result.row(y) + x * 3);
    }
  }
  return result;
}

void append_number(std::string& text, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) text += static_cast<char>(value >> shift & 0xff);
}

void append_chunk(std::string& png, const std::string& type, const std::string& content) {
  append_number(png, static_cast<std::uint32_t>(content.size()));
  const std::string checked = type + content;
  png += checked;
  append_number(png, crc32(checked.data(), checked.size()));
}

std::string compressed_rows(const Grid<std::int32_t>& labels) {
  std::string rows;
  rows.reserve(std::size_t(labels.height) * (labels.width + 1));
  for (int y = 0; y < labels.height; ++y) {
    rows += '\0';  // no filter: neighbours of a label map are mostly equal already
    for (int x = 0; x < labels.width; ++x) rows += static_cast<char>(labels.row(y)[x]);
  }
  int size = 0;
  const std::unique_ptr<unsigned char, void (*)(void*)> packed(
      stbi_zlib_compress(reinterpret_cast<unsigned char*>(rows.data()), static_cast<int>(rows.size()), &size,
                         kCompression),
      [](void* bytes) { STBIW_FREE(bytes); });
  if (!packed) throw Error("no memory to compress the labels");
  return {reinterpret_cast<const char*>(packed.get()), static_cast<std::size_t>(size)};
}

}  // namespace

Image read_image(const std::string& path) {
  const std::string content = read_file(path);
  try {
    const ContainerFacts facts = inspect(content);
    if (std::int64_t{facts.width} * facts.height > kMaxPixels) {
      throw Error("too large: " + std::to_string(facts.width) + " x " + std::to_string(facts.height) +
                  " pixels; at most 100 million pixels are read");
    }
    return upright(decoded(content), facts.orientation);
  } catch (const Error& error) {
    throw Error(path + ": " + error.what());
  }
}

void write_labels(const std::string& path, const Grid<std::int32_t>& labels,
                  const std::vector<std::array<std::uint8_t, 3>>& palette) {
  const auto [least, most] = std::minmax_element(labels.values.begin(), labels.values.end());
  if (*least < 0 || *most > 255) {
    throw Error(path + ": a palette PNG holds classes 0 to 255, but the labels go from " + std::to_string(*least) +
                " to " + std::to_string(*most));
  }
  std::string header;
  append_number(header, static_cast<std::uint32_t>(labels.width));
  append_number(header, static_cast<std::uint32_t>(labels.height));
  header += std::string("\x08\x03\x00\x00\x00", 5);  // 8 bits, palette, the only compression and filters, no interlace
  std::string colours(256 * 3, '\0');
  for (std::size_t i = 0; i < palette.size() * 3; ++i) colours[i] = static_cast<char>(palette[i / 3][i % 3]);

  std::string png("\x89PNG\r\n\x1a\n", 8);
  append_chunk(png, "IHDR", header);
  append_chunk(png, "PLTE", colours);
  append_chunk(png, "IDAT", compressed_rows(labels));
  append_chunk(png, "IEND", "");
  write_file(path, png.data(), png.size());
}

}  // namespace mobileseg
