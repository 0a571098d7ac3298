// The part of Paddle Lite's interface (lite/api/paddle_api.h of 2.13) that mobileseg_lite_run calls, so that it can be
// compiled, linked and run where there is no Paddle Lite. fake_paddle_lite.cpp says what its "networks" do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace paddle {
namespace lite_api {

using shape_t = std::vector<int64_t>;

enum class TargetType : int { kHost = 1 };
enum class PrecisionType : int { kFloat = 1, kInt32 = 3, kFP16 = 5, kInt64 = 7, kUInt8 = 9 };
typedef enum {
  LITE_POWER_HIGH = 0,
  LITE_POWER_LOW = 1,
  LITE_POWER_FULL = 2,
  LITE_POWER_NO_BIND = 3,
  LITE_POWER_RAND_HIGH = 4,
  LITE_POWER_RAND_LOW = 5
} PowerMode;

struct Tensor {
  explicit Tensor(void* raw);
  void Resize(const shape_t& shape);
  template <typename T>
  const T* data() const;
  template <typename T>
  T* mutable_data(TargetType type = TargetType::kHost) const;
  shape_t shape() const;
  PrecisionType precision() const;

 private:
  void* raw_tensor_;
};

class PaddlePredictor {
 public:
  virtual std::unique_ptr<Tensor> GetInput(int i) = 0;
  virtual std::unique_ptr<const Tensor> GetOutput(int i) const = 0;
  virtual void Run() = 0;
  virtual std::string GetVersion() const = 0;
  virtual ~PaddlePredictor() = default;
};

class ConfigBase {
 public:
  void set_threads(int threads);
  void set_power_mode(PowerMode mode);

 protected:
  int threads_{1};
  PowerMode mode_{LITE_POWER_NO_BIND};
};

class MobileConfig : public ConfigBase {
 public:
  void set_model_from_buffer(const std::string& model);
  void set_model_from_buffer(std::string&& model);
  void set_model_from_buffer(const char* buffer, size_t length);
  const std::string& model() const { return model_; }
  int threads() const { return threads_; }
  PowerMode power_mode() const { return mode_; }

 private:
  std::string model_;
};

template <typename ConfigT>
std::shared_ptr<PaddlePredictor> CreatePaddlePredictor(const ConfigT&);

}  // namespace lite_api
}  // namespace paddle
