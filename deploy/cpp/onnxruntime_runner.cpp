#include "onnxruntime_runner.h"

#ifdef MOBILESEG_OFFICIAL_ORT_HEADER
#include <onnxruntime_c_api.h>
#else
#include "onnxruntime_abi.h"
#endif

#include <cstring>

namespace mobileseg {
namespace {

const OrtApi& api() {
  static const OrtApi* const table = OrtGetApiBase()->GetApi(ORT_API_VERSION);
  if (table == nullptr) {
    throw Error(std::string("the library is ONNX Runtime ") + OrtGetApiBase()->GetVersionString() +
                ", older than the header that this program was built with; use a library of at least that version");
  }
  return *table;
}

void check(OrtStatus* status) {
  if (status == nullptr) return;
  const std::string message = api().GetErrorMessage(status);
  api().ReleaseStatus(status);
  throw Error(message);
}

// Objects of the interface, released where they go out of scope.
#define MOBILESEG_OWNED(Type)                                                   \
  struct Type##Releaser {                                                       \
    void operator()(Ort##Type* object) const { api().Release##Type(object); }   \
  };                                                                            \
  using Type = std::unique_ptr<Ort##Type, Type##Releaser>
MOBILESEG_OWNED(Env);
MOBILESEG_OWNED(MemoryInfo);
MOBILESEG_OWNED(Session);
MOBILESEG_OWNED(SessionOptions);
MOBILESEG_OWNED(TensorTypeAndShapeInfo);
MOBILESEG_OWNED(Value);
#undef MOBILESEG_OWNED

ONNXTensorElementDataType onnx_type(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
    case DType::kUInt8:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8;
    case DType::kInt32:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32;
    case DType::kInt64:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64;
  }
  throw std::logic_error("no such dtype");
}

DType dtype_of(ONNXTensorElementDataType type) {
  for (const DType dtype : {DType::kFloat32, DType::kUInt8, DType::kInt32, DType::kInt64}) {
    if (onnx_type(dtype) == type) return dtype;
  }
  throw Error("the graph's output has ONNX's data type " + std::to_string(static_cast<int>(type)) +
              "; expected float32, int32 or int64");
}

Tensor copied(OrtValue* value) {
  OrtTensorTypeAndShapeInfo* raw_info = nullptr;
  check(api().GetTensorTypeAndShape(value, &raw_info));
  const TensorTypeAndShapeInfo info(raw_info);
  ONNXTensorElementDataType type{};
  check(api().GetTensorElementType(info.get(), &type));
  std::size_t rank = 0;
  check(api().GetDimensionsCount(info.get(), &rank));
  Tensor tensor;
  tensor.dtype = dtype_of(type);
  tensor.shape.resize(rank);
  check(api().GetDimensions(info.get(), tensor.shape.data(), rank));
  void* data = nullptr;
  check(api().GetTensorMutableData(value, &data));
  tensor.bytes.resize(item_count(tensor.shape) * item_size(tensor.dtype));
  std::memcpy(tensor.bytes.data(), data, tensor.bytes.size());
  return tensor;
}

class OnnxRuntimeRunner : public Runner {
 public:
  OnnxRuntimeRunner(const std::string& content, int threads) {
    OrtEnv* env = nullptr;
    check(api().CreateEnv(ORT_LOGGING_LEVEL_ERROR, "mobileseg", &env));
    env_.reset(env);
    OrtSessionOptions* raw_options = nullptr;
    check(api().CreateSessionOptions(&raw_options));
    const SessionOptions options(raw_options);
    check(api().SetSessionGraphOptimizationLevel(raw_options, ORT_ENABLE_ALL));
    check(api().SetIntraOpNumThreads(raw_options, threads));
    check(api().SetInterOpNumThreads(raw_options, 1));
    OrtSession* session = nullptr;
    check(api().CreateSessionFromArray(env, content.data(), content.size(), raw_options, &session));
    session_.reset(session);
    OrtMemoryInfo* memory = nullptr;
    check(api().CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &memory));
    memory_.reset(memory);
    read_names();
  }

  Tensor run(const Tensor& input) override {
    OrtValue* raw_input = nullptr;
    // The interface wants a pointer that it may write through, but inputs stay as they are.
    check(api().CreateTensorWithDataAsOrtValue(memory_.get(), const_cast<std::uint8_t*>(input.bytes.data()),
                                               input.bytes.size(), input.shape.data(), input.shape.size(),
                                               onnx_type(input.dtype), &raw_input));
    const Value in(raw_input);
    const char* const input_name = input_name_.c_str();
    const char* const output_name = output_name_.c_str();
    OrtValue* raw_output = nullptr;
    check(api().Run(session_.get(), nullptr, &input_name, &raw_input, 1, &output_name, 1, &raw_output));
    const Value out(raw_output);
    return copied(raw_output);
  }

 private:
  void read_names() {
    std::size_t inputs = 0, outputs = 0;
    check(api().SessionGetInputCount(session_.get(), &inputs));
    check(api().SessionGetOutputCount(session_.get(), &outputs));
    if (inputs != 1 || outputs != 1) {
      throw Error("it has " + std::to_string(inputs) + " inputs and " + std::to_string(outputs) +
                  " outputs; expected one of each");
    }
    OrtAllocator* allocator = nullptr;
    check(api().GetAllocatorWithDefaultOptions(&allocator));
    char* name = nullptr;
    check(api().SessionGetInputName(session_.get(), 0, allocator, &name));
    input_name_ = name;
    check(api().AllocatorFree(allocator, name));
    check(api().SessionGetOutputName(session_.get(), 0, allocator, &name));
    output_name_ = name;
    check(api().AllocatorFree(allocator, name));
  }

  Env env_;  // first: the others must be gone before it
  Session session_;
  MemoryInfo memory_;
  std::string input_name_;
  std::string output_name_;
};

}  // namespace

std::unique_ptr<Runner> make_onnxruntime_runner(const std::string& path, const std::string& content, int threads) {
  try {
    return std::make_unique<OnnxRuntimeRunner>(content, threads);
  } catch (const Error& error) {
    throw Error(std::string("ONNX Runtime ") + OrtGetApiBase()->GetVersionString() + " cannot load " + path + ": " +
                error.what());
  }
}

}  // namespace mobileseg
