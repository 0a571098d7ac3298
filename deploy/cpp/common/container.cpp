#include "container.h"

#include <array>
#include <string_view>

#include "tensor.h"

namespace mobileseg {
namespace {

using View = std::string_view;

constexpr View kPng("\x89PNG\r\n\x1a\n", 8);
constexpr View kJpeg("\xff\xd8\xff", 3);
constexpr View kExif("Exif\0\0", 6);

std::array<std::uint32_t, 256> crc_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = value & 1 ? 0xedb88320U ^ (value >> 1) : value >> 1;
    table[i] = value;
  }
  return table;
}

// A number of 1 to 4 bytes. Throws Error beyond the end.
std::uint32_t number(View bytes, std::size_t at, int size, bool little = false) {
  if (at > bytes.size() || bytes.size() - at < static_cast<std::size_t>(size)) throw Error("the file is truncated");
  std::uint32_t value = 0;
  for (int i = 0; i < size; ++i) {
    value = value << 8 | static_cast<unsigned char>(bytes[at + (little ? size - 1 - i : i)]);
  }
  return value;
}

// Tag 0x0112 of the first directory of a TIFF block; 1 where there is none or the block is broken, which says nothing
// about the pixels.
int orientation_of(View tiff) {
  try {
    const bool little = tiff.substr(0, 2) == "II";
    const std::size_t directory = number(tiff, 4, 4, little);
    const std::size_t entries = number(tiff, directory, 2, little);
    for (std::size_t i = 0; i < entries; ++i) {
      const std::size_t entry = directory + 2 + 12 * i;
      if (number(tiff, entry, 2, little) != 0x0112) continue;
      const auto value = static_cast<int>(number(tiff, entry + 8, 2, little));
      return value >= 1 && value <= 8 ? value : 1;
    }
  } catch (const Error&) {
  }
  return 1;
}

ContainerFacts inspect_png(View bytes) {
  ContainerFacts facts;
  for (std::size_t at = kPng.size();;) {
    const std::size_t length = number(bytes, at, 4);
    if (length > bytes.size()) throw Error("the file is truncated");
    const View type = bytes.substr(at + 4, 4);
    const std::uint32_t expected = number(bytes, at + 8 + length, 4);
    if (crc32(bytes.data() + at + 4, length + 4) != expected) throw Error("the checksum of a chunk is wrong");
    const View content = bytes.substr(at + 8, length);
    if (type == "IHDR") {
      facts.width = static_cast<int>(number(content, 0, 4) & 0x7fffffff);
      facts.height = static_cast<int>(number(content, 4, 4) & 0x7fffffff);
    } else if (type == "eXIf") {
      facts.orientation = orientation_of(content);
    } else if (type == "IEND") {
      return facts;
    }
    at += 12 + length;
  }
}

bool is_frame(std::uint32_t marker) {  // SOF0 to SOF15 without DHT, JPG and DAC
  return marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
}

ContainerFacts inspect_jpeg(View bytes) {
  ContainerFacts facts;
  std::size_t at = 2;
  for (;;) {
    if (number(bytes, at, 1) != 0xff) throw Error("a marker is missing");
    while (number(bytes, at, 1) == 0xff) ++at;  // any number of fill bytes
    const std::uint32_t marker = number(bytes, at, 1);
    const std::size_t length = number(bytes, at + 1, 2);
    number(bytes, at + length, 1);  // the segment is there
    const View content = bytes.substr(at + 3, length < 2 ? 0 : length - 2);
    if (marker == 0xe1 && content.substr(0, kExif.size()) == kExif && facts.orientation == 1) {
      facts.orientation = orientation_of(content.substr(kExif.size()));
    } else if (is_frame(marker)) {
      facts.height = static_cast<int>(number(content, 1, 2));
      facts.width = static_cast<int>(number(content, 3, 2));
    }
    at += 1 + length;
    if (marker == 0xda) break;
  }
  // Compressed data never holds this pair: ff is followed by 00 or a restart marker there.
  if (bytes.find("\xff\xd9", at) == View::npos) throw Error("the file is truncated");
  return facts;
}

}  // namespace

std::uint32_t crc32(const void* bytes, std::size_t size) {
  static const std::array<std::uint32_t, 256> table = crc_table();
  std::uint32_t value = 0xffffffffU;
  for (std::size_t i = 0; i < size; ++i) {
    value = table[(value ^ static_cast<const unsigned char*>(bytes)[i]) & 0xff] ^ (value >> 8);
  }
  return ~value;
}

ContainerFacts inspect(const std::string& content) {
  const View bytes(content);
  if (bytes.empty()) throw Error("the file is empty");
  if (bytes.substr(0, kPng.size()) == kPng) return inspect_png(bytes);
  if (bytes.substr(0, kJpeg.size()) == kJpeg) return inspect_jpeg(bytes);
  throw Error("not a JPEG or PNG file");
}

}  // namespace mobileseg
