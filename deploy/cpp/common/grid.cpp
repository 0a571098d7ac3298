#include "grid.h"

#include <algorithm>
#include <cmath>

namespace mobileseg {
namespace {

// How the two types are interpolated: weights, sums along a row, and the mix of two rows.
template <typename T>
struct Arithmetic;

template <>
struct Arithmetic<std::uint8_t> {
  using Weight = int;  // 2048 is one
  using Sum = int;
  static Weight weight(float share) { return static_cast<int>(std::lrint(share * 2048.0F)); }
  static std::uint8_t mix(Sum upper, Sum lower, Weight upper_weight, Weight lower_weight) {
    // OpenCV's roundings: sums lose 4 bits, products 16, and the last two are rounded.
    const int value = ((upper_weight * (upper >> 4)) >> 16) + ((lower_weight * (lower >> 4)) >> 16);
    return static_cast<std::uint8_t>(std::clamp((value + 2) >> 2, 0, 255));
  }
  static std::uint8_t mean(int a, int b, int c, int d) { return static_cast<std::uint8_t>((a + b + c + d + 2) >> 2); }
};

template <>
struct Arithmetic<float> {
  using Weight = float;
  using Sum = float;
  static Weight weight(float share) { return share; }
  static float mix(Sum upper, Sum lower, Weight upper_weight, Weight lower_weight) {
    return upper * upper_weight + lower * lower_weight;
  }
  static float mean(float a, float b, float c, float d) { return (a + b + c + d) * 0.25F; }
};

// Between which two source lines a line lies, and how near it is to the second (0 to 1).
struct Place {
  int first;
  float share;
};

Place place(int index, int source_side, int side) {
  const double scale = 1.0 / (static_cast<double>(side) / source_side);
  const auto position = static_cast<float>((index + 0.5) * scale - 0.5);
  const int first = static_cast<int>(std::floor(position));
  return {first, position - static_cast<float>(first)};
}

template <typename T>
struct Column {
  int first;  // offsets of values in a row
  int second;
  typename Arithmetic<T>::Weight first_weight;
  typename Arithmetic<T>::Weight second_weight;
};

template <typename T>
std::vector<Column<T>> columns_of(int source_width, int width, int channels) {
  std::vector<Column<T>> columns(width);
  for (int x = 0; x < width; ++x) {
    auto [first, share] = place(x, source_width, width);
    if (first < 0) first = 0, share = 0;
    if (first >= source_width - 1) first = source_width - 1, share = 0;
    const int second = std::min(first + 1, source_width - 1);
    columns[x] = {first * channels, second * channels, Arithmetic<T>::weight(1.0F - share),
                  Arithmetic<T>::weight(share)};
  }
  return columns;
}

template <typename T>
Grid<T> halved(const Grid<T>& source) {
  Grid<T> result(source.height / 2, source.width / 2, source.channels);
  const int n = source.channels;
  for (int y = 0; y < result.height; ++y) {
    const T* upper = source.row(2 * y);
    const T* lower = source.row(2 * y + 1);
    T* out = result.row(y);
    for (int x = 0; x < result.width; ++x, upper += 2 * n, lower += 2 * n, out += n) {
      for (int c = 0; c < n; ++c) out[c] = Arithmetic<T>::mean(upper[c], upper[n + c], lower[c], lower[n + c]);
    }
  }
  return result;
}

}  // namespace

template <typename T>
Grid<T> resized(const Grid<T>& source, int height, int width) {
  using A = Arithmetic<T>;
  using Sums = std::vector<typename A::Sum>;
  if (height == source.height && width == source.width) return source;
  if (source.height == 2 * height && source.width == 2 * width) return halved(source);

  const int n = source.channels;
  const auto columns = columns_of<T>(source.width, width, n);
  const auto fill = [&](Sums& sums, int y) {
    const T* row = source.row(y);
    auto* out = sums.data();
    for (const Column<T>& column : columns) {
      for (int c = 0; c < n; ++c) {
        *out++ = row[column.first + c] * column.first_weight + row[column.second + c] * column.second_weight;
      }
    }
  };
  Grid<T> result(height, width, n);
  // Two source rows, interpolated along x; neighbouring rows of the result mostly need the same ones.
  Sums upper(std::size_t(width) * n), lower(std::size_t(width) * n);
  int upper_row = -1, lower_row = -1;
  for (int y = 0; y < height; ++y) {
    const auto [first, share] = place(y, source.height, height);
    const int above = std::clamp(first, 0, source.height - 1);
    const int below = std::clamp(first + 1, 0, source.height - 1);
    if (above == lower_row) std::swap(upper, lower), std::swap(upper_row, lower_row);
    if (above != upper_row) fill(upper, above), upper_row = above;
    if (below != lower_row) fill(lower, below), lower_row = below;
    const auto upper_weight = A::weight(1.0F - share), lower_weight = A::weight(share);
    T* out = result.row(y);
    for (std::size_t i = 0; i < upper.size(); ++i) out[i] = A::mix(upper[i], lower[i], upper_weight, lower_weight);
  }
  return result;
}

template <typename T>
Grid<T> resized_nearest(const Grid<T>& source, int height, int width) {
  if (height == source.height && width == source.width) return source;
  const int n = source.channels;
  Grid<T> result(height, width, n);
  for (int y = 0; y < height; ++y) {
    const T* row = source.row(static_cast<int>(std::int64_t{y} * source.height / height));
    T* out = result.row(y);
    for (int x = 0; x < width; ++x, out += n) {
      std::copy_n(row + std::int64_t{x} * source.width / width * n, n, out);
    }
  }
  return result;
}

template <typename T>
Grid<T> padded(const Grid<T>& source, int height, int width, const std::vector<T>& colour) {
  Grid<T> result(height, width, source.channels);
  for (int y = 0; y < height; ++y) {
    T* out = result.row(y);
    const int kept = y < source.height ? source.width : 0;
    if (kept > 0) out = std::copy_n(source.row(y), std::size_t(kept) * source.channels, out);
    for (int x = kept; x < width; ++x) out = std::copy(colour.begin(), colour.end(), out);
  }
  return result;
}

template <typename T>
Grid<T> cropped(const Grid<T>& source, int height, int width) {
  Grid<T> result(height, width, source.channels);
  for (int y = 0; y < height; ++y) std::copy_n(source.row(y), std::size_t(width) * source.channels, result.row(y));
  return result;
}

template Grid<std::uint8_t> resized(const Grid<std::uint8_t>&, int, int);
template Grid<float> resized(const Grid<float>&, int, int);
template Grid<std::int32_t> resized_nearest(const Grid<std::int32_t>&, int, int);
template Grid<std::uint8_t> padded(const Grid<std::uint8_t>&, int, int, const std::vector<std::uint8_t>&);
template Grid<float> padded(const Grid<float>&, int, int, const std::vector<float>&);
template Grid<float> cropped(const Grid<float>&, int, int);
template Grid<std::int32_t> cropped(const Grid<std::int32_t>&, int, int);

}  // namespace mobileseg
