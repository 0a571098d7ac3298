#include "options.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <new>

#include "tensor.h"

namespace mobileseg {

Options::Options(int argc, char** argv, const std::vector<std::string>& known) {
  for (int i = 1; i < argc; i += 2) {
    const std::string word = argv[i];
    const std::string name = word.substr(0, 2) == "--" ? word.substr(2) : "";
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      throw Error("unknown argument '" + word + "'; see --help");
    }
    if (i + 1 >= argc) throw Error(word + " needs a value");
    if (!values_.emplace(name, argv[i + 1]).second) throw Error(word + " is given twice");
  }
}

std::string Options::required(const std::string& name) const {
  const auto found = values_.find(name);
  if (found == values_.end()) throw Error("--" + name + " is missing; see --help");
  return found->second;
}

std::string Options::get(const std::string& name, const std::string& usual) const {
  return has(name) ? values_.at(name) : usual;
}

int Options::count(const std::string& name, int usual, int least) const {
  return has(name) ? whole_number(values_.at(name), "--" + name, least) : usual;
}

int whole_number(const std::string& text, const std::string& name, int least) {
  int value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc() || end != text.data() + text.size() || value < least) {
    throw Error(name + " is '" + text + "'; expected a whole number of at least " + std::to_string(least));
  }
  return value;
}

int run_program(int argc, char** argv, const char* usage, int (*body)(int, char**)) {
  if (argc == 1 || std::any_of(argv + 1, argv + argc, [](const char* word) { return !std::strcmp(word, "--help"); })) {
    std::fputs(usage, argc == 1 ? stderr : stdout);
    return argc == 1 ? 1 : 0;
  }
  try {
    return body(argc, argv);
  } catch (const std::bad_alloc&) {
    std::fputs("error: not enough memory\n", stderr);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
  }
  return 1;
}

}  // namespace mobileseg
