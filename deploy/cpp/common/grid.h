// Images as arrays, and the three things that preprocessing does to their size.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace mobileseg {

// Rows of pixels of interleaved channels.
template <typename T>
struct Grid {
  int height = 0;
  int width = 0;
  int channels = 0;
  std::vector<T> values;

  Grid() = default;
  Grid(int height_, int width_, int channels_)
      : height(height_), width(width_), channels(channels_), values(std::size_t(height_) * width_ * channels_) {}

  const T* row(int y) const { return values.data() + std::size_t(y) * width * channels; }
  T* row(int y) { return values.data() + std::size_t(y) * width * channels; }
};

using Image = Grid<std::uint8_t>;  // RGB

// Bilinear, half-pixel centres. uint8: bit for bit what OpenCV's INTER_LINEAR gives (11 bits of weight in each
// direction; a plain mean where both sides are halved). float: the same formula in float32.
template <typename T>
Grid<T> resized(const Grid<T>& source, int height, int width);

// Nearest: each pixel takes the source pixel floor(i * source side / side).
template <typename T>
Grid<T> resized_nearest(const Grid<T>& source, int height, int width);

// Fills at the right and at the bottom; one value for each channel.
template <typename T>
Grid<T> padded(const Grid<T>& source, int height, int width, const std::vector<T>& colour);

// The part at the top left.
template <typename T>
Grid<T> cropped(const Grid<T>& source, int height, int width);

}  // namespace mobileseg
