// deploy.json, the manifest of an exported bundle.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tensor.h"

namespace mobileseg {

// One step before the network; which fields count depends on the kind.
struct Step {
  enum class Kind { kResize, kResizeByLong, kResizeByShort, kLimitLong, kPadding, kNormalize };
  Kind kind = Kind::kNormalize;
  int width = 512, height = 512;  // Resize, Padding
  bool keep_ratio = false;        // Resize
  int size_divisor = 1;
  int size = 0;                                  // ResizeByLong, ResizeByShort
  double max_size = 1e10;                        // ResizeByShort
  std::optional<int> max_long, min_long;         // LimitLong
  std::array<double, 3> padding{};               // one value for each channel
  std::array<double, 3> mean{0.5, 0.5, 0.5};     // Normalize
  std::array<double, 3> std_{0.5, 0.5, 0.5};
};

struct RecordedFile {
  std::string sha256;
  std::uint64_t bytes = 0;
};

struct Manifest {
  std::string folder;
  std::vector<Step> steps;
  std::vector<std::int64_t> input_shape;  // in the graph's own layout; -1: any
  std::string output_op;                  // none, softmax, argmax, vim
  DType input_dtype = DType::kFloat32;
  std::string layout = "NCHW";        // or NHWC
  bool resized_inside = false;        // the graph resizes images itself
  std::vector<std::array<std::uint8_t, 3>> palette;
  std::map<std::string, std::vector<std::string>> backends;
  std::map<std::string, RecordedFile> files;

  // Path of the one file that a backend runs. Throws Error: the bundle has none for it.
  std::string file_of(const std::string& backend) const;

  // Content of a file of the bundle. Throws Error: missing, or not as it was exported (size, SHA-256).
  std::string verified(const std::string& path) const;
};

// Throws Error: no such folder or file, or one that this version cannot read.
Manifest load_manifest(const std::string& folder);

}  // namespace mobileseg
