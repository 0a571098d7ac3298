// Labels of one image by a bundle's .nb file, or raw tensors through any .nb file, in Paddle Lite.
#include <algorithm>
#include <cstdio>

#include "files.h"
#include "labelling.h"
#include "lite_runner.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "raw tensors are little-endian, and written as they lie in memory"
#endif

namespace {

using namespace mobileseg;

constexpr char kUsage[] =
    "usage: mobileseg_lite_run --bundle DIR --input IMAGE --output LABELS.png\n"
    "   or: mobileseg_lite_run --model FILE.nb --input IN.bin --shape 1,3,256,256 --dtype float32 --output OUT.bin\n"
    "\n"
    "The first writes the class of each pixel as a palette PNG of the image's size. The second is what Python's ARM\n"
    "runner calls: raw little-endian tensors, and one line of JSON on stdout that says what the output is.\n"
    "\n"
    "  --bundle DIR        folder that `mobileseg export` wrote, with deploy.json and the .nb file for ARM\n"
    "  --input FILE        JPEG or PNG; with --model: the tensor\n"
    "  --output FILE       the file to write\n"
    "  --threads N         of the network's operators (1)\n"
    "  --power_mode MODE   Paddle Lite's: high, low, full, no_bind, rand_high, rand_low (no_bind)\n"
    "  --repeats N         run the network N times and give the times (1)\n"
    "  --dump_input FILE   with --bundle: also write what goes into the network, as raw numbers\n"
    "  --shape N,C,H,W     with --model: of the input, in the graph's layout\n"
    "  --dtype TYPE        with --model: float32 or uint8 (float32)\n"
    "  --warmup N          with --model: runs before those that count (0)\n";

const char kNoBind[] = "no_bind";

std::vector<std::int64_t> shape_of(const std::string& text) {
  std::vector<std::int64_t> shape;
  for (std::size_t start = 0; start <= text.size();) {
    const std::size_t end = std::min(text.find(',', start), text.size());
    shape.push_back(whole_number(text.substr(start, end - start), "a side of --shape", 1));
    start = end + 1;
  }
  return shape;
}

Tensor read_tensor(const Options& options) {
  Tensor tensor;
  const std::string dtype = options.get("dtype", "float32");
  if (dtype != "float32" && dtype != "uint8") {
    throw Error("--dtype is '" + dtype + "'; expected float32 or uint8");
  }
  tensor.dtype = dtype == "uint8" ? DType::kUInt8 : DType::kFloat32;
  tensor.shape = shape_of(options.required("shape"));
  const std::size_t expected = item_count(tensor.shape) * item_size(tensor.dtype);
  const std::string path = options.required("input");
  const std::string content = read_file(path);
  if (content.size() != expected) {
    throw Error(path + " has " + std::to_string(content.size()) + " bytes; expected " + std::to_string(expected) +
                " for " + dtype + " " + describe(tensor.shape));
  }
  tensor.bytes.assign(content.begin(), content.end());
  return tensor;
}

// The line that paddle_mobileseg/runtime/arm_runner.py reads.
void print_result(const Tensor& output, const std::string& version, const std::vector<double>& times_ms) {
  std::string quoted;
  for (const char c : version) {
    if (c == '"' || c == '\\') quoted += '\\';
    if (static_cast<unsigned char>(c) >= ' ') quoted += c;
  }
  std::string times;
  for (const double time : times_ms) {
    char text[32];
    std::snprintf(text, sizeof text, "%s%.4f", times.empty() ? "" : ", ", time);
    times += text;
  }
  std::printf("{\"shape\": %s, \"dtype\": \"%s\", \"runtime\": \"%s\", \"times_ms\": [%s]}\n",
              describe(output.shape).c_str(), name_of(output.dtype), quoted.c_str(), times.c_str());
}

void run_tensor(const Options& options) {
  const std::string model = options.required("model");
  const std::string target = options.required("output");
  const int threads = options.count("threads", 1, 1);
  const int warmup = options.count("warmup", 0, 0);
  const int repeats = options.count("repeats", 1, 1);
  const Tensor input = read_tensor(options);
  const auto runner = make_lite_runner(model, read_file(model), threads, options.get("power_mode", kNoBind));
  Tensor output;
  const std::vector<double> times_ms = timed_runs(*runner, input, warmup, repeats, output);
  write_file(target, output.bytes.data(), output.bytes.size());
  print_result(output, runner->version(), times_ms);
}

int body(int argc, char** argv) {
  std::vector<std::string> known = labelling_arguments();
  known.insert(known.end(), {"model", "shape", "dtype", "warmup", "power_mode"});
  const Options options(argc, argv, known);
  const bool raw = options.has("model");
  const std::vector<std::string> others =
      raw ? std::vector<std::string>{"bundle", "dump_input"} : std::vector<std::string>{"shape", "dtype", "warmup"};
  for (const std::string& name : others) {
    if (options.has(name)) throw Error("--" + name + (raw ? " and --model exclude each other" : " needs --model"));
  }
  if (raw) {
    run_tensor(options);
    return 0;
  }
  const std::string power_mode = options.get("power_mode", kNoBind);
  label_image(options, "lite-arm", [&](const std::string& path, const std::string& content, int threads) {
    return make_lite_runner(path, content, threads, power_mode);
  });
  return 0;
}

}  // namespace

int main(int argc, char** argv) { return run_program(argc, argv, kUsage, body); }
