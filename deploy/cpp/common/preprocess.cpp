#include "preprocess.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <variant>

namespace mobileseg {
namespace {

using Picture = std::variant<Grid<std::uint8_t>, Grid<float>>;  // float32 from Normalize on
using Kind = Step::Kind;

struct Size {
  int height;
  int width;
};

// Half to even, as Python's round().
int rounded(double value) {
  if (value > kLongestSide) throw Error("the manifest's transforms make the image too large; give a smaller one");
  return std::max(static_cast<int>(std::nearbyint(value)), 1);
}

Size scaled(Size size, double factor) { return {rounded(size.height * factor), rounded(size.width * factor)}; }

Size fixed(Size size, const Step& step) {
  Size target = {step.height, step.width};
  if (step.keep_ratio) {
    const auto [short_side, long_side] = std::minmax(size.height, size.width);
    const auto [short_target, long_target] = std::minmax(target.height, target.width);
    target = scaled(size, std::min(double(long_target) / long_side, double(short_target) / short_side));
  }
  const int divisor = step.size_divisor;
  const auto divisible = [&](int side) { return (side + divisor - 1) / divisor * divisor; };
  return {divisible(target.height), divisible(target.width)};
}

Size by_short(Size size, const Step& step) {
  const auto [shorter, longer] = std::minmax(size.height, size.width);
  double target = step.size;
  if (target / shorter * longer > step.max_size) {
    target = std::max(std::trunc(step.max_size / longer * shorter), 1.0);
  }
  return scaled(size, target / shorter);
}

Size limited(Size size, const Step& step) {
  const int longer = std::max(size.height, size.width);
  int target = longer;
  if (step.max_long && longer > *step.max_long) {
    target = *step.max_long;
  } else if (step.min_long && longer < *step.min_long) {
    target = *step.min_long;
  }
  return scaled(size, double(target) / longer);
}

Size resized_size(Size size, const Step& step) {
  switch (step.kind) {
    case Kind::kResize:
      return fixed(size, step);
    case Kind::kResizeByLong:
      return scaled(size, double(step.size) / std::max(size.height, size.width));
    case Kind::kResizeByShort:
      return by_short(size, step);
    default:
      return limited(size, step);
  }
}

template <typename T>
std::vector<T> as_colour(const std::array<double, 3>& values) {
  std::vector<T> colour;
  for (const double value : values) {
    if constexpr (std::is_same_v<T, std::uint8_t>) {
      colour.push_back(static_cast<T>(std::clamp(std::nearbyint(value), 0.0, 255.0)));
    } else {
      colour.push_back(static_cast<T>(value));
    }
  }
  return colour;
}

// NumPy's order of roundings: float32 after the division by 255, after the mean and after the deviation, the last two
// worked out in float64.
float normalised(float value, double mean, double deviation) {
  value /= 255.0F;
  value = static_cast<float>(value - mean);
  return static_cast<float>(value / deviation);
}

Grid<float> normalize(const Picture& picture, const Step& step) {
  return std::visit(
      [&](const auto& grid) {
        Grid<float> result(grid.height, grid.width, grid.channels);
        using T = typename std::decay_t<decltype(grid.values)>::value_type;
        std::array<std::array<float, 256>, 3> table{};
        for (int c = 0; c < 3; ++c) {
          for (int v = 0; v < 256; ++v) table[c][v] = normalised(static_cast<float>(v), step.mean[c], step.std_[c]);
        }
        for (std::size_t i = 0; i < grid.values.size(); ++i) {
          const std::size_t c = i % 3;
          if constexpr (std::is_same_v<T, std::uint8_t>) {
            result.values[i] = table[c][grid.values[i]];
          } else {
            result.values[i] = normalised(grid.values[i], step.mean[c], step.std_[c]);
          }
        }
        return result;
      },
      picture);
}

template <typename T>
Grid<T> with_padding(const Grid<T>& grid, const Step& step) {
  if (grid.width > step.width || grid.height > step.height) {
    throw Error("Padding: the image is " + std::to_string(grid.width) + " x " + std::to_string(grid.height) +
                ", larger than target_size " + std::to_string(step.width) + " x " + std::to_string(step.height) +
                " (width x height); use a smaller image, or export with a resize before the padding");
  }
  return padded(grid, step.height, step.width, as_colour<T>(step.padding));
}

void apply(const Step& step, Picture& picture, std::vector<SizeChange>& changes) {
  if (step.kind == Kind::kNormalize) {
    picture = normalize(picture, step);
    return;
  }
  const auto change = [&](const auto& grid) -> Picture {
    changes.push_back({step.kind == Kind::kPadding, grid.height, grid.width});
    if (step.kind == Kind::kPadding) return with_padding(grid, step);
    const Size size = resized_size({grid.height, grid.width}, step);
    return resized(grid, size.height, size.width);
  };
  picture = std::visit(change, Picture(std::move(picture)));
}

// [H, W, C] to one image of the tensor, in another type and possibly as planes.
template <typename To, typename From>
void copy_pixels(const Grid<From>& grid, bool planes, To* out) {
  const std::size_t pixels = std::size_t(grid.height) * grid.width;
  for (std::size_t i = 0; i < pixels; ++i) {
    for (int c = 0; c < 3; ++c) out[planes ? c * pixels + i : i * 3 + c] = static_cast<To>(grid.values[i * 3 + c]);
  }
}

Tensor as_tensor(const Picture& picture, const Manifest& manifest) {
  const bool planes = manifest.layout == "NCHW";
  return std::visit(
      [&](const auto& grid) {
        Tensor tensor;
        tensor.dtype = manifest.input_dtype;
        const std::int64_t batch = std::max<std::int64_t>(manifest.input_shape[0], 1);
        if (planes) {
          tensor.shape = {batch, 3, grid.height, grid.width};
        } else {
          tensor.shape = {batch, grid.height, grid.width, 3};
        }
        const std::size_t bytes = item_count(tensor.shape) * item_size(tensor.dtype);
        tensor.bytes.resize(bytes);
        if (tensor.dtype == DType::kUInt8) {
          copy_pixels(grid, planes, tensor.bytes.data());
        } else {
          copy_pixels(grid, planes, reinterpret_cast<float*>(tensor.bytes.data()));
        }
        const std::size_t one = bytes / batch;
        for (std::int64_t n = 1; n < batch; ++n) std::copy_n(tensor.bytes.data(), one, tensor.bytes.data() + n * one);
        return tensor;
      },
      picture);
}

void check(const Tensor& tensor, const Manifest& manifest) {
  for (std::size_t i = 0; i < tensor.shape.size(); ++i) {
    if (manifest.input_shape[i] != -1 && manifest.input_shape[i] != tensor.shape[i]) {
      throw Error(std::string("the graph takes ") + name_of(manifest.input_dtype) + " " + manifest.layout + " = " +
                  describe(manifest.input_shape) + ", but the manifest's transforms make " + describe(tensor.shape) +
                  " of this image; give an image of the graph's size, or export with a Resize in the transforms");
    }
  }
}

// One class's scores at the image's size.
Grid<float> restored(Grid<float> score, const std::vector<SizeChange>& changes) {
  for (auto change = changes.rbegin(); change != changes.rend(); ++change) {
    score = change->padding ? cropped(score, change->height, change->width)
                            : resized(score, change->height, change->width);
  }
  return score;
}

Grid<std::int32_t> largest(const Tensor& output, bool probabilities, const std::vector<SizeChange>& changes) {
  const int classes = static_cast<int>(output.shape[1]);
  const int height = static_cast<int>(output.shape[2]), width = static_cast<int>(output.shape[3]);
  Grid<std::int32_t> labels;
  std::vector<float> best;
  for (int number = 0; number < classes; ++number) {
    Grid<float> score(height, width, 1);
    std::copy_n(output.data<float>() + number * score.values.size(), score.values.size(), score.values.begin());
    if (probabilities) {  // logits less a value that all classes of a pixel share
      for (float& value : score.values) value = std::log(std::max(value, std::numeric_limits<float>::min()));
    }
    score = restored(std::move(score), changes);
    if (number == 0) {
      labels = Grid<std::int32_t>(score.height, score.width, 1);
      best.assign(score.values.size(), -std::numeric_limits<float>::infinity());
    }
    for (std::size_t i = 0; i < best.size(); ++i) {
      if (score.values[i] > best[i]) best[i] = score.values[i], labels.values[i] = number;
    }
  }
  return labels;
}

Grid<std::int32_t> given(const Tensor& output, const std::vector<SizeChange>& changes) {
  Grid<std::int32_t> labels(static_cast<int>(output.shape[1]), static_cast<int>(output.shape[2]), 1);
  const std::size_t count = labels.values.size();
  if (output.dtype == DType::kInt32) {
    std::copy_n(output.data<std::int32_t>(), count, labels.values.begin());
  } else {
    std::transform(output.data<std::int64_t>(), output.data<std::int64_t>() + count, labels.values.begin(),
                   [](std::int64_t label) { return static_cast<std::int32_t>(label); });
  }
  for (auto change = changes.rbegin(); change != changes.rend(); ++change) {
    labels = change->padding ? cropped(labels, change->height, change->width)
                             : resized_nearest(labels, change->height, change->width);
  }
  return labels;
}

}  // namespace

Prepared prepare(const Image& image, const Manifest& manifest) {
  Picture picture = image;
  Prepared prepared;
  for (const Step& step : manifest.steps) apply(step, picture, prepared.changes);
  if (manifest.resized_inside) prepared.changes = {{false, image.height, image.width}};
  if (manifest.input_dtype == DType::kUInt8 && std::holds_alternative<Grid<float>>(picture)) {
    throw Error("the graph takes uint8, but the manifest's transforms normalise; export again");
  }
  prepared.input = as_tensor(picture, manifest);
  check(prepared.input, manifest);
  return prepared;
}

Grid<std::int32_t> labels_of(const Tensor& output, const Manifest& manifest, const Prepared& prepared) {
  const bool scores = output.shape.size() == 4 && output.dtype == DType::kFloat32;
  const bool labels = output.shape.size() == 3 && (output.dtype == DType::kInt32 || output.dtype == DType::kInt64);
  if (!scores && !labels) {
    throw Error(std::string("the graph gave ") + name_of(output.dtype) + " " + describe(output.shape) +
                "; expected scores [N, C, H, W] float32 or labels [N, H, W] int32 or int64");
  }
  if (output.bytes.size() != item_count(output.shape) * item_size(output.dtype)) {
    throw Error("the graph's output has another size than its shape " + describe(output.shape) + " says");
  }
  // Cropping takes what is there: an output smaller than the input would be read beyond its end.
  const std::size_t row = prepared.input.shape.size() - (manifest.layout == "NCHW" ? 2 : 3);
  const std::size_t out_row = output.shape.size() - 2;
  const bool same = output.shape[out_row] == prepared.input.shape[row] &&
                    output.shape[out_row + 1] == prepared.input.shape[row + 1];
  if (!same && !manifest.resized_inside) {
    throw Error("the graph gave " + describe(output.shape) + " for an input " + describe(prepared.input.shape) +
                "; expected the same height and width");
  }
  return scores ? largest(output, manifest.output_op == "softmax", prepared.changes) : given(output, prepared.changes);
}

}  // namespace mobileseg
