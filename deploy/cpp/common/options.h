// A command line of `--name value` pairs.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace mobileseg {

class Options {
 public:
  // Throws Error: an argument that is not among `known`, twice, or without a value.
  Options(int argc, char** argv, const std::vector<std::string>& known);

  bool has(const std::string& name) const { return values_.count(name) != 0; }
  std::string required(const std::string& name) const;                             // Throws Error: absent.
  std::string get(const std::string& name, const std::string& usual) const;
  int count(const std::string& name, int usual, int least) const;                  // Throws Error: no whole number.

 private:
  std::map<std::string, std::string> values_;
};

// Throws Error: not a whole number of at least `least`.
int whole_number(const std::string& text, const std::string& name, int least);

// Runs a program's body; what it throws becomes `error: ...` on stderr and exit status 1. --help prints `usage`.
int run_program(int argc, char** argv, const char* usage, int (*body)(int, char**));

}  // namespace mobileseg
