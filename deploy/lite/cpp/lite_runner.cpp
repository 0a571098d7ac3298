#include "lite_runner.h"

#include <paddle_api.h>

#include <chrono>
#include <cstring>
#include <utility>

#include "lite_file.h"

namespace mobileseg {
namespace {

namespace lite = paddle::lite_api;

lite::PowerMode power_mode_of(const std::string& name) {
  const std::pair<const char*, lite::PowerMode> modes[] = {
      {"high", lite::LITE_POWER_HIGH},           {"low", lite::LITE_POWER_LOW},
      {"full", lite::LITE_POWER_FULL},           {"no_bind", lite::LITE_POWER_NO_BIND},
      {"rand_high", lite::LITE_POWER_RAND_HIGH}, {"rand_low", lite::LITE_POWER_RAND_LOW},
  };
  std::string known;
  for (const auto& [each, mode] : modes) {
    if (name == each) return mode;
    known += (known.empty() ? "" : ", ") + std::string(each);
  }
  throw Error("--power_mode is '" + name + "'; expected one of " + known);
}

DType dtype_of(lite::PrecisionType precision) {
  switch (precision) {
    case lite::PrecisionType::kFloat:
      return DType::kFloat32;
    case lite::PrecisionType::kInt32:
      return DType::kInt32;
    case lite::PrecisionType::kInt64:
      return DType::kInt64;
    default:
      throw Error("the graph's output has Paddle Lite's precision " + std::to_string(static_cast<int>(precision)) +
                  "; expected float32, int32 or int64");
  }
}

const void* data_of(const lite::Tensor& tensor, DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return tensor.data<float>();
    case DType::kInt32:
      return tensor.data<std::int32_t>();
    default:
      return tensor.data<std::int64_t>();
  }
}

class LightPredictor : public LiteRunner {
 public:
  LightPredictor(const std::string& content, int threads, lite::PowerMode mode) {
    lite::MobileConfig config;
    config.set_model_from_buffer(content);
    config.set_threads(threads);
    config.set_power_mode(mode);
    predictor_ = lite::CreatePaddlePredictor(config);
    if (!predictor_) throw Error("Paddle Lite made no predictor of it");
  }

  std::string version() const override { return predictor_->GetVersion(); }

  StageTimes stages() const override { return stages_; }

  Tensor run(const Tensor& input) override {
    const auto start = Clock::now();
    const auto in = predictor_->GetInput(0);
    in->Resize(input.shape);
    void* const target = input.dtype == DType::kUInt8 ? static_cast<void*>(in->mutable_data<std::uint8_t>())
                                                      : static_cast<void*>(in->mutable_data<float>());
    std::memcpy(target, input.bytes.data(), input.bytes.size());
    const auto uploaded = Clock::now();
    predictor_->Run();
    const auto computed = Clock::now();
    const auto out = predictor_->GetOutput(0);
    Tensor result;
    result.dtype = dtype_of(out->precision());
    result.shape = out->shape();
    result.bytes.resize(item_count(result.shape) * item_size(result.dtype));
    std::memcpy(result.bytes.data(), data_of(*out, result.dtype), result.bytes.size());
    stages_ = {milliseconds(start, uploaded), milliseconds(uploaded, computed), milliseconds(computed, Clock::now())};
    return result;
  }

 private:
  using Clock = std::chrono::steady_clock;

  static double milliseconds(Clock::time_point from, Clock::time_point to) {
    return std::chrono::duration<double, std::milli>(to - from).count();
  }

  StageTimes stages_;
  std::shared_ptr<lite::PaddlePredictor> predictor_;
};

}  // namespace

std::unique_ptr<LiteRunner> make_lite_runner(const std::string& path, const std::string& content, int threads,
                                             const std::string& power_mode) {
  const lite::PowerMode mode = power_mode_of(power_mode);
  std::string file_version;
  try {
    file_version = lite_version(content);
  } catch (const Error& error) {
    throw Error(path + ": " + error.what());
  }
  auto runner = std::make_unique<LightPredictor>(content, threads, mode);
  check_versions(path, file_version, runner->version());
  return runner;
}

}  // namespace mobileseg
