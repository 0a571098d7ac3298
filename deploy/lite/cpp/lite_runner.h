// A .nb file in Paddle Lite's light predictor.
#pragma once

#include <memory>
#include <string>

#include "tensor.h"

namespace mobileseg {

// Milliseconds of the parts of one run: the input into Paddle Lite's memory, the network, the output out of it.
struct StageTimes {
  double upload = 0;
  double compute = 0;
  double download = 0;
};

class LiteRunner : public Runner {
 public:
  // Of the last run.
  virtual StageTimes stages() const = 0;

  // Of the library, such as "v2.13-rc".
  virtual std::string version() const = 0;
};

// Throws Error: the file is not whole, or of another version than the library; no such power mode. `path` is for
// messages; power modes are Paddle Lite's: high, low, full, no_bind, rand_high, rand_low.
std::unique_ptr<LiteRunner> make_lite_runner(const std::string& path, const std::string& content, int threads,
                                             const std::string& power_mode);

}  // namespace mobileseg
