// Fields of a JSON object, with errors that name what is wrong.
#pragma once

#include <nlohmann/json.hpp>

#include <algorithm>
#include <initializer_list>
#include <string>

#include "tensor.h"

namespace mobileseg {

using Json = nlohmann::json;

inline Error wrong_field(const std::string& name, const Json& value, const std::string& expected) {
  return Error(name + " is " + value.dump() + "; expected " + expected);
}

inline const Json& field(const Json& object, const char* name, const std::string& where) {
  if (!object.is_object() || !object.contains(name)) {
    throw Error(where + " has no " + name + "; export again");
  }
  return object[name];
}

inline std::string text(const Json& value, const std::string& name) {
  if (!value.is_string()) throw wrong_field(name, value, "a text");
  return value.get<std::string>();
}

inline int positive(const Json& value, const std::string& name) {
  if (!value.is_number_integer() || value.get<double>() < 1 || value.get<double>() > kLongestSide) {
    throw wrong_field(name, value, "a whole number from 1 to " + std::to_string(kLongestSide));
  }
  return value.get<int>();
}

inline double number(const Json& value, const std::string& name) {
  if (!value.is_number()) throw wrong_field(name, value, "a number");
  return value.get<double>();
}

inline void only_fields(const Json& object, std::initializer_list<const char*> known, const std::string& where) {
  for (const auto& item : object.items()) {
    if (std::none_of(known.begin(), known.end(), [&](const char* name) { return item.key() == name; })) {
      throw Error(where + ": this program does not know the argument '" + item.key() + "'");
    }
  }
}

}  // namespace mobileseg
