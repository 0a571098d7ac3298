// A graph in ONNX Runtime, on the CPU.
#pragma once

#include <memory>
#include <string>

#include "tensor.h"

namespace mobileseg {

// Throws Error: ONNX Runtime cannot load the graph, or it has not one input and one output. `path` is for messages.
std::unique_ptr<Runner> make_onnxruntime_runner(const std::string& path, const std::string& content, int threads);

}  // namespace mobileseg
