// Labels of one image, by a bundle's ONNX file in ONNX Runtime.
#include "labelling.h"
#include "onnxruntime_runner.h"

namespace {

constexpr char kUsage[] =
    "usage: mobileseg_run --bundle DIR --input IMAGE --output LABELS.png\n"
    "\n"
    "Writes the class of each pixel as a palette PNG of the image's size.\n"
    "\n"
    "  --bundle DIR        folder that `mobileseg export` wrote, with deploy.json and the ONNX file\n"
    "  --input IMAGE       JPEG or PNG\n"
    "  --output FILE       the PNG to write\n"
    "  --threads N         of the network's operators (1)\n"
    "  --repeats N         run the network N times after one warm-up and print its times (1: do not)\n"
    "  --dump_input FILE   also write what goes into the network, as raw numbers\n";

int body(int argc, char** argv) {
  const mobileseg::Options options(argc, argv, mobileseg::labelling_arguments());
  mobileseg::label_image(options, "onnxruntime", mobileseg::make_onnxruntime_runner);
  return 0;
}

}  // namespace

int main(int argc, char** argv) { return mobileseg::run_program(argc, argv, kUsage, body); }
