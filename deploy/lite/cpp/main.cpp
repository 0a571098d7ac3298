// Labels of one image by a bundle's .nb file, or raw tensors through any .nb file, in Paddle Lite.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

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
    "runner calls: raw little-endian tensors, and one line of JSON on stdout that says what the output is, how long\n"
    "each run took (times_ms; of that upload_ms, compute_ms, download_ms), the first run of the process and the\n"
    "loading (first_ms, load_ms), the memory of the process (before_load_bytes, peak_rss_bytes), and what it was told\n"
    "(model, input_shape, threads, power_mode, warmup).\n"
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

// A number of bytes in Linux's /proc/self/status, such as "VmHWM"; 0 where there is none.
std::uint64_t memory_of(const char* name) {
  std::FILE* const status = std::fopen("/proc/self/status", "r");
  if (status == nullptr) return 0;
  std::uint64_t bytes = 0;
  char line[256];
  while (bytes == 0 && std::fgets(line, sizeof line, status) != nullptr) {
    const std::size_t length = std::strlen(name);
    if (std::strncmp(line, name, length) == 0 && line[length] == ':') {
      bytes = std::strtoull(line + length + 1, nullptr, 10) * 1024;
    }
  }
  std::fclose(status);
  return bytes;
}

// How a measurement is made; said again with its result, which may be all that is kept.
struct Settings {
  std::string model, power_mode;
  int threads = 1, warmup = 0, repeats = 1;
};

// What is told of a measurement; times are milliseconds, of every timed run in order.
struct Measured {
  double load = 0;   // reading the file and making the predictor
  double first = 0;  // the first run of the process, timed or not
  std::vector<double> times, uploads, computes, downloads;
  std::uint64_t before_load = 0;  // resident bytes
};

Measured measure(LiteRunner& runner, const Tensor& input, const Settings& settings, Tensor& output) {
  using Clock = std::chrono::steady_clock;
  Measured measured;
  for (std::int64_t i = 0; i < std::int64_t{settings.warmup} + settings.repeats; ++i) {
    const auto start = Clock::now();
    output = runner.run(input);
    const double time = std::chrono::duration<double, std::milli>(Clock::now() - start).count();
    if (i == 0) measured.first = time;
    if (i < settings.warmup) continue;
    measured.times.push_back(time);
    measured.uploads.push_back(runner.stages().upload);
    measured.computes.push_back(runner.stages().compute);
    measured.downloads.push_back(runner.stages().download);
  }
  return measured;
}

std::string list_of(const std::vector<double>& values) {
  std::string text;
  for (const double value : values) {
    char number[32];
    std::snprintf(number, sizeof number, "%s%.6f", text.empty() ? "" : ", ", value);
    text += number;
  }
  return "[" + text + "]";
}

std::string count_or_null(std::uint64_t bytes) { return bytes == 0 ? "null" : std::to_string(bytes); }

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    if (static_cast<unsigned char>(c) >= ' ') result += c;
  }
  return result + "\"";
}

// The line that paddle_mobileseg/runtime/arm_runner.py and benchmark/devices/remote_runner.py read.
void print_result(const Tensor& output, const std::string& version, const Tensor& input, const Settings& settings,
                  const Measured& measured) {
  std::printf("{\"shape\": %s, \"dtype\": \"%s\", \"runtime\": %s, \"times_ms\": %s, ",
              describe(output.shape).c_str(), name_of(output.dtype), quoted(version).c_str(),
              list_of(measured.times).c_str());
  std::printf("\"model\": %s, \"input_shape\": %s, \"threads\": %d, \"power_mode\": %s, \"warmup\": %d, ",
              quoted(settings.model.substr(settings.model.rfind('/') + 1)).c_str(), describe(input.shape).c_str(),
              settings.threads, quoted(settings.power_mode).c_str(), settings.warmup);
  std::printf("\"load_ms\": %.6f, \"first_ms\": %.6f, \"upload_ms\": %s, \"compute_ms\": %s, \"download_ms\": %s, ",
              measured.load, measured.first, list_of(measured.uploads).c_str(), list_of(measured.computes).c_str(),
              list_of(measured.downloads).c_str());
  std::printf("\"before_load_bytes\": %s, \"peak_rss_bytes\": %s}\n", count_or_null(measured.before_load).c_str(),
              count_or_null(memory_of("VmHWM")).c_str());
}

void run_tensor(const Options& options) {
  using Clock = std::chrono::steady_clock;
  const std::string target = options.required("output");
  Settings settings;
  settings.model = options.required("model");
  settings.power_mode = options.get("power_mode", kNoBind);
  settings.threads = options.count("threads", 1, 1);
  settings.warmup = options.count("warmup", 0, 0);
  settings.repeats = options.count("repeats", 1, 1);
  const Tensor input = read_tensor(options);
  const std::uint64_t before_load = memory_of("VmRSS");
  const auto start = Clock::now();
  const auto runner =
      make_lite_runner(settings.model, read_file(settings.model), settings.threads, settings.power_mode);
  const double load = std::chrono::duration<double, std::milli>(Clock::now() - start).count();
  Tensor output;
  Measured measured = measure(*runner, input, settings, output);
  measured.load = load;
  measured.before_load = before_load;
  write_file(target, output.bytes.data(), output.bytes.size());
  print_result(output, runner->version(), input, settings, measured);
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
