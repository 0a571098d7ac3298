// From an image to a graph's input, and from its output to labels of the image's own size.
#pragma once

#include <string>
#include <vector>

#include "grid.h"
#include "manifest.h"
#include "tensor.h"

namespace mobileseg {

// What a step did to the size: undone in reverse order.
struct SizeChange {
  bool padding;  // else resized
  int height;    // before it
  int width;
};

struct Prepared {
  Tensor input;
  std::vector<SizeChange> changes;
};

// The manifest's steps, in its graph's dtype and layout, repeated to its batch. Throws Error: the image does not fit
// (larger than Padding's size; not the graph's size).
Prepared prepare(const Image& image, const Manifest& manifest);

// Labels of the image from a graph's output: scores [N, C, h, w] float32 are resized back and the first class with the
// largest is taken; labels [N, h, w] int32 or int64 are resized by nearest. Throws Error: another output.
Grid<std::int32_t> labels_of(const Tensor& output, const Manifest& manifest, const Prepared& prepared);

}  // namespace mobileseg
