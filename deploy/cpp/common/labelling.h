// What both programs do with a bundle and an image, whatever runs the graph.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "options.h"
#include "tensor.h"

namespace mobileseg {

// Names of the arguments that label_image reads.
std::vector<std::string> labelling_arguments();

// Makes the runner of a graph: its path and content, the threads of its operators.
using MakeRunner =
    std::function<std::unique_ptr<Runner>(const std::string& path, const std::string& content, int threads)>;

// Reads the bundle and the image, runs the backend's graph and writes the labels; prints what it did. Throws Error.
void label_image(const Options& options, const std::string& backend, const MakeRunner& make_runner);

}  // namespace mobileseg
