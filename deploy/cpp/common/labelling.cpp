#include "labelling.h"

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "files.h"
#include "image.h"
#include "manifest.h"
#include "preprocess.h"

namespace mobileseg {

namespace {

// Milliseconds of `repeats` runs after `warmup` others; `output` gets the last result.
std::vector<double> timed_runs(Runner& runner, const Tensor& input, int warmup, int repeats, Tensor& output) {
  using Clock = std::chrono::steady_clock;
  for (int i = 0; i < warmup; ++i) output = runner.run(input);
  std::vector<double> times_ms;
  for (int i = 0; i < repeats; ++i) {
    const auto start = Clock::now();
    output = runner.run(input);
    times_ms.push_back(std::chrono::duration<double, std::milli>(Clock::now() - start).count());
  }
  return times_ms;
}

}  // namespace

std::vector<std::string> labelling_arguments() {
  return {"bundle", "input", "output", "threads", "repeats", "dump_input"};
}

void label_image(const Options& options, const std::string& backend, const MakeRunner& make_runner) {
  const std::string output = options.required("output");
  const std::string image_path = options.required("input");
  const int threads = options.count("threads", 1, 1);
  const int repeats = options.count("repeats", 1, 1);
  const Manifest manifest = load_manifest(options.required("bundle"));
  const std::string graph = manifest.file_of(backend);

  const Prepared prepared = prepare(read_image(image_path), manifest);
  if (options.has("dump_input")) {
    write_file(options.required("dump_input"), prepared.input.bytes.data(), prepared.input.bytes.size());
  }
  const std::unique_ptr<Runner> runner = make_runner(graph, manifest.verified(graph), threads);
  Tensor result;
  std::vector<double> times_ms = timed_runs(*runner, prepared.input, repeats > 1 ? 1 : 0, repeats, result);
  const Grid<std::int32_t> labels = labels_of(result, manifest, prepared);
  write_labels(output, labels, manifest.palette);
  std::printf("%s: labels of %d x %d pixels (width x height)\n", output.c_str(), labels.width, labels.height);
  if (repeats > 1) {
    std::sort(times_ms.begin(), times_ms.end());
    std::printf("network: median %.2f ms, least %.2f ms of %d runs, %d threads\n", times_ms[times_ms.size() / 2],
                times_ms.front(), repeats, threads);
  }
}

}  // namespace mobileseg
