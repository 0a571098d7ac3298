#include "manifest.h"

#include <filesystem>

#include "files.h"
#include "json_fields.h"
#include "steps.h"

namespace mobileseg {
namespace {

constexpr int kFormat = 1;
constexpr char kName[] = "deploy.json";

Json read_json(const std::string& folder, const std::string& path) {
  if (!std::filesystem::is_regular_file(path)) {
    throw Error(folder + " is no bundle that this program can read: there is no " + path +
                "; `mobileseg export` of this version writes it beside deploy.yaml");
  }
  try {
    return Json::parse(read_file(path));
  } catch (const Json::exception& error) {
    throw Error(path + " is damaged (" + error.what() + "); export again");
  }
}

void read_input(const Json& deploy, const Json& about, Manifest& manifest) {
  const Json& shape = field(deploy, "input_shape", "Deploy");
  const std::string wanted = "four sides, each a positive number or -1";
  if (!shape.is_array() || shape.size() != 4) throw wrong_field("Deploy.input_shape", shape, wanted);
  for (const Json& side : shape) {
    if (side != -1) positive(side, "Deploy.input_shape");
    manifest.input_shape.push_back(side);
  }
  const Json& input = field(about, "input", "Bundle");
  const std::string dtype = input.value("dtype", "float32");
  if (dtype != "float32" && dtype != "uint8") throw wrong_field("Bundle.input.dtype", dtype, "float32 or uint8");
  manifest.input_dtype = dtype == "uint8" ? DType::kUInt8 : DType::kFloat32;
  manifest.layout = input.value("layout", "NCHW");
  if (manifest.layout != "NCHW" && manifest.layout != "NHWC") {
    throw wrong_field("Bundle.input.layout", manifest.layout, "NCHW or NHWC");
  }
  const std::string order = input.value("channel_order", "RGB");
  if (order != "RGB") throw wrong_field("Bundle.input.channel_order", order, "RGB");
  manifest.resized_inside = input.contains("resize_hw") && !input["resize_hw"].is_null();
}

void read_palette(const Json& about, Manifest& manifest) {
  const Json& palette = field(about, "palette", "Bundle");
  const std::string wanted = "at most 256 colours [red, green, blue], each 0 to 255";
  if (!palette.is_array() || palette.size() > 256) throw wrong_field("Bundle.palette", palette, wanted);
  for (const Json& colour : palette) {
    if (!colour.is_array() || colour.size() != 3) throw wrong_field("Bundle.palette", colour, wanted);
    std::array<std::uint8_t, 3> rgb{};
    for (std::size_t i = 0; i < 3; ++i) {
      if (!colour[i].is_number_integer() || colour[i] < 0 || colour[i] > 255) {
        throw wrong_field("Bundle.palette", colour, wanted);
      }
      rgb[i] = colour[i];
    }
    manifest.palette.push_back(rgb);
  }
}

void read_files(const Json& about, Manifest& manifest) {
  for (const auto& item : field(about, "files", "Bundle").items()) {
    if (std::filesystem::path(item.key()).filename() != item.key()) {
      throw Error("Bundle.files names '" + item.key() + "'; expected names of files in the bundle's own folder");
    }
    RecordedFile& file = manifest.files[item.key()];
    file.sha256 = text(field(item.value(), "sha256", item.key()), item.key() + ": sha256");
    file.bytes = field(item.value(), "bytes", item.key());
  }
  for (const auto& item : field(about, "backends", "Bundle").items()) {
    for (const Json& name : item.value()) {
      if (manifest.files.count(text(name, "Bundle.backends")) == 0) {
        throw Error("Bundle.backends names " + name.dump() + ", which Bundle.files lacks; export again");
      }
      manifest.backends[item.key()].push_back(name);
    }
  }
}

Manifest read_manifest(const Json& content) {
  const Json& deploy = field(content, "Deploy", "the manifest");
  const Json& about = field(content, "Bundle", "the manifest");
  if (const Json& format = field(about, "format", "Bundle"); format != kFormat) {
    throw wrong_field("Bundle.format", format, std::to_string(kFormat) + ", which this version reads; export again");
  }
  Manifest manifest;
  manifest.output_op = text(field(deploy, "output_op", "Deploy"), "Deploy.output_op");
  if (const std::string& op = manifest.output_op; op != "none" && op != "softmax" && op != "argmax" && op != "vim") {
    throw wrong_field("Deploy.output_op", op, "none, softmax, argmax or vim");
  }
  manifest.steps = read_steps(field(deploy, "transforms", "Deploy"));
  read_input(deploy, about, manifest);
  read_palette(about, manifest);
  read_files(about, manifest);
  return manifest;
}

}  // namespace

Manifest load_manifest(const std::string& folder) {
  const std::string path = (std::filesystem::path(folder) / kName).string();
  const Json content = read_json(folder, path);
  try {
    Manifest manifest = read_manifest(content);
    manifest.folder = folder;
    return manifest;
  } catch (const Error& error) {
    throw Error(path + ": " + error.what());
  } catch (const Json::exception& error) {  // a value of another type than the fields above ask for
    throw Error(path + " is damaged (" + error.what() + "); export again");
  }
}

std::string Manifest::file_of(const std::string& backend) const {
  const auto found = backends.find(backend);
  if (found != backends.end() && found->second.size() == 1) {
    return (std::filesystem::path(folder) / found->second.front()).string();
  }
  std::string present;
  for (const auto& entry : backends) present += (present.empty() ? "" : ", ") + entry.first;
  throw Error(folder + " holds no file for the backend '" + backend + "' (it has files for: " +
              (present.empty() ? "none" : present) + "); export again with that format");
}

std::string Manifest::verified(const std::string& path) const {
  const RecordedFile& recorded = files.at(std::filesystem::path(path).filename().string());
  if (!std::filesystem::is_regular_file(path)) {
    throw Error(path + " is missing; copy the whole bundle again, or export again");
  }
  std::string content = read_file(path);
  const std::string advice = " was exported; copy the bundle again, or export again";
  if (content.size() != recorded.bytes) {
    throw Error(path + " has " + std::to_string(content.size()) + " bytes, but a file of " +
                std::to_string(recorded.bytes) + advice);
  }
  if (const std::string found = sha256(content); found != recorded.sha256) {
    throw Error(path + " was changed: its sha256 is " + found + ", but " + recorded.sha256 + advice);
  }
  return content;
}

}  // namespace mobileseg
