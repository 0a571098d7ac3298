// A .nb file in Paddle Lite's light predictor.
#pragma once

#include <memory>
#include <string>

#include "tensor.h"

namespace mobileseg {

class LiteRunner : public Runner {
 public:
  // Of the library, such as "v2.13-rc".
  virtual std::string version() const = 0;
};

// Throws Error: the file is not whole, or of another version than the library; no such power mode. `path` is for
// messages; power modes are Paddle Lite's: high, low, full, no_bind, rand_high, rand_low.
std::unique_ptr<LiteRunner> make_lite_runner(const std::string& path, const std::string& content, int threads,
                                             const std::string& power_mode);

}  // namespace mobileseg
