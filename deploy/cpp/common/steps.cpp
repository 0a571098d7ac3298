#include "steps.h"

namespace mobileseg {
namespace {

using Kind = Step::Kind;

// One number for all channels, or one for each.
std::array<double, 3> channels(const Json& value, const std::string& name) {
  if (value.is_number()) return {value, value, value};
  if (!value.is_array() || (value.size() != 1 && value.size() != 3)) throw wrong_field(name, value, "1 or 3 numbers");
  std::array<double, 3> result{};
  for (std::size_t i = 0; i < 3; ++i) result[i] = number(value[value.size() == 1 ? 0 : i], name);
  return result;
}

void read_size(const Json& value, const std::string& name, Step& step) {
  if (!value.is_array() || value.size() != 2) throw wrong_field(name, value, "[width, height]");
  step.width = positive(value[0], name);
  step.height = positive(value[1], name);
}

std::optional<int> optional_size(const Json& spec, const char* name) {
  if (!spec.contains(name) || spec[name].is_null()) return std::nullopt;
  return positive(spec[name], std::string("LimitLong: ") + name);
}

Step resize(const Json& spec) {
  only_fields(spec, {"type", "target_size", "keep_ratio", "size_divisor", "interp"}, "Resize");
  Step step;
  step.kind = Kind::kResize;
  if (spec.contains("target_size")) read_size(spec["target_size"], "Resize: target_size", step);
  if (spec.contains("keep_ratio")) {
    if (!spec["keep_ratio"].is_boolean()) throw wrong_field("Resize: keep_ratio", spec["keep_ratio"], "true or false");
    step.keep_ratio = spec["keep_ratio"];
  }
  if (spec.contains("size_divisor") && !spec["size_divisor"].is_null()) {
    step.size_divisor = positive(spec["size_divisor"], "Resize: size_divisor");
  }
  if (spec.contains("interp") && spec["interp"] != "LINEAR") {
    throw wrong_field("Resize: interp", spec["interp"],
                      "LINEAR, the only interpolation of the C++ programs; use Python's Session for this bundle");
  }
  return step;
}

Step by_side(const Json& spec, Kind kind, const char* type, const char* argument) {
  only_fields(spec, {"type", argument, kind == Kind::kResizeByShort ? "max_size" : argument}, type);
  Step step;
  step.kind = kind;
  step.size = positive(field(spec, argument, type), std::string(type) + ": " + argument);
  if (spec.contains("max_size")) step.max_size = number(spec["max_size"], "ResizeByShort: max_size");
  return step;
}

Step limit_long(const Json& spec) {
  only_fields(spec, {"type", "max_long", "min_long"}, "LimitLong");
  Step step;
  step.kind = Kind::kLimitLong;
  step.max_long = optional_size(spec, "max_long");
  step.min_long = optional_size(spec, "min_long");
  if (step.max_long && step.min_long && *step.min_long > *step.max_long) {
    throw Error("LimitLong: min_long " + std::to_string(*step.min_long) + " is larger than max_long " +
                std::to_string(*step.max_long));
  }
  return step;
}

Step padding(const Json& spec) {
  only_fields(spec, {"type", "target_size", "im_padding_value", "label_padding_value"}, "Padding");
  Step step;
  step.kind = Kind::kPadding;
  read_size(field(spec, "target_size", "Padding"), "Padding: target_size", step);
  step.padding = {127.5, 127.5, 127.5};
  if (spec.contains("im_padding_value")) step.padding = channels(spec["im_padding_value"], "Padding: im_padding_value");
  return step;
}

Step normalize(const Json& spec) {
  only_fields(spec, {"type", "mean", "std"}, "Normalize");
  Step step;
  step.kind = Kind::kNormalize;
  if (spec.contains("mean")) step.mean = channels(spec["mean"], "Normalize: mean");
  if (spec.contains("std")) step.std_ = channels(spec["std"], "Normalize: std");
  for (const double value : step.std_) {
    if (!(value > 0)) throw wrong_field("Normalize: std", spec["std"], "positive numbers");
  }
  return step;
}

Step read_step(const Json& spec) {
  const std::string type = text(field(spec, "type", "a step of Deploy.transforms"), "type of a transform");
  if (type == "Resize") return resize(spec);
  if (type == "ResizeByLong") return by_side(spec, Kind::kResizeByLong, "ResizeByLong", "long_size");
  if (type == "ResizeByShort") return by_side(spec, Kind::kResizeByShort, "ResizeByShort", "short_size");
  if (type == "LimitLong") return limit_long(spec);
  if (type == "Padding") return padding(spec);
  if (type == "Normalize") return normalize(spec);
  throw Error("transform '" + type + "' cannot be part of deployment: only the deterministic Resize, ResizeByLong, "
              "ResizeByShort, LimitLong, Padding and Normalize are");
}

}  // namespace

std::vector<Step> read_steps(const Json& list) {
  if (!list.is_array()) throw wrong_field("Deploy.transforms", list, "a list");
  std::vector<Step> steps;
  for (const Json& spec : list) steps.push_back(read_step(spec));
  return steps;
}

}  // namespace mobileseg
