// What stands for Paddle Lite in tests. The program of a .nb file is a word here, which says what the output is:
//
//   identity          the input, float32
//   argmax int32      for each pixel of [N, C, H, W] the channel with the largest value
//   argmax int64
//   argmax uint8      the same for [N, H, W, C] of type uint8; labels are int32
//   settings          threads and power mode, int32 [1, 1, 2]
//   half              an output of half precision
//   abort             dies, as Paddle Lite does on what it does not like
//
// FAKE_LITE_VERSION is what the library calls itself.
#include <cstdlib>
#include <cstring>

#include "paddle_api.h"

namespace paddle {
namespace lite_api {
namespace {

struct Raw {
  shape_t shape;
  std::vector<uint8_t> bytes;
  PrecisionType precision = PrecisionType::kFloat;

  size_t count() const {
    size_t product = 1;
    for (const int64_t side : shape) product *= static_cast<size_t>(side);
    return product;
  }
};

template <typename T>
void put_labels(const Raw& input, bool planes, PrecisionType precision, Raw& output) {
  const auto& s = input.shape;
  const size_t channels = planes ? s[1] : s[3];
  output.shape = planes ? shape_t{s[0], s[2], s[3]} : shape_t{s[0], s[1], s[2]};
  output.precision = precision;
  output.bytes.resize(output.count() * sizeof(T));
  const size_t pixels = output.count() / s[0];
  for (size_t i = 0; i < output.count(); ++i) {
    const auto value = [&](size_t c) {
      if (!planes) return static_cast<float>(input.bytes[i * channels + c]);
      return reinterpret_cast<const float*>(input.bytes.data())[(i / pixels * channels + c) * pixels + i % pixels];
    };
    T best = 0;
    for (size_t c = 1; c < channels; ++c) {
      if (value(c) > value(static_cast<size_t>(best))) best = static_cast<T>(c);
    }
    reinterpret_cast<T*>(output.bytes.data())[i] = best;
  }
}

class Predictor : public PaddlePredictor {
 public:
  explicit Predictor(const MobileConfig& config) : config_(config) {
    const std::string& model = config.model();
    uint64_t size = 0;
    std::memcpy(&size, model.data() + 18, sizeof size);
    program_ = model.substr(26, size);
  }

  std::unique_ptr<Tensor> GetInput(int) override { return std::unique_ptr<Tensor>(new Tensor(&input_)); }
  std::unique_ptr<const Tensor> GetOutput(int) const override {
    return std::unique_ptr<const Tensor>(new Tensor(const_cast<Raw*>(&output_)));
  }

  void Run() override {
    if (program_ == "abort") std::abort();
    if (program_ == "argmax int32") return put_labels<int32_t>(input_, true, PrecisionType::kInt32, output_);
    if (program_ == "argmax int64") return put_labels<int64_t>(input_, true, PrecisionType::kInt64, output_);
    if (program_ == "argmax uint8") return put_labels<int32_t>(input_, false, PrecisionType::kInt32, output_);
    output_ = input_;
    if (program_ == "half") output_.precision = PrecisionType::kFP16;
    if (program_ == "settings") {
      const int32_t settings[2] = {config_.threads(), config_.power_mode()};
      output_.shape = {1, 1, 2};
      output_.precision = PrecisionType::kInt32;
      output_.bytes.resize(sizeof settings);
      std::memcpy(output_.bytes.data(), settings, sizeof settings);
    }
  }

  std::string GetVersion() const override {
    const char* version = std::getenv("FAKE_LITE_VERSION");
    return version == nullptr ? "v2.13-rc" : version;
  }

 private:
  MobileConfig config_;
  std::string program_;
  Raw input_;
  Raw output_;
};

}  // namespace

Tensor::Tensor(void* raw) : raw_tensor_(raw) {}
void Tensor::Resize(const shape_t& shape) { static_cast<Raw*>(raw_tensor_)->shape = shape; }
shape_t Tensor::shape() const { return static_cast<Raw*>(raw_tensor_)->shape; }
PrecisionType Tensor::precision() const { return static_cast<Raw*>(raw_tensor_)->precision; }

template <typename T>
const T* Tensor::data() const {
  return reinterpret_cast<const T*>(static_cast<Raw*>(raw_tensor_)->bytes.data());
}

template <typename T>
T* Tensor::mutable_data(TargetType) const {
  Raw* raw = static_cast<Raw*>(raw_tensor_);
  raw->bytes.resize(raw->count() * sizeof(T));
  return reinterpret_cast<T*>(raw->bytes.data());
}

template const float* Tensor::data<float>() const;
template const int32_t* Tensor::data<int32_t>() const;
template const int64_t* Tensor::data<int64_t>() const;
template float* Tensor::mutable_data<float>(TargetType) const;
template uint8_t* Tensor::mutable_data<uint8_t>(TargetType) const;

void ConfigBase::set_threads(int threads) { threads_ = threads; }
void ConfigBase::set_power_mode(PowerMode mode) { mode_ = mode; }
void MobileConfig::set_model_from_buffer(const std::string& model) { model_ = model; }
void MobileConfig::set_model_from_buffer(std::string&& model) { model_ = std::move(model); }
void MobileConfig::set_model_from_buffer(const char* buffer, size_t length) { model_.assign(buffer, length); }

template <>
std::shared_ptr<PaddlePredictor> CreatePaddlePredictor(const MobileConfig& config) {
  return std::make_shared<Predictor>(config);
}

}  // namespace lite_api
}  // namespace paddle
