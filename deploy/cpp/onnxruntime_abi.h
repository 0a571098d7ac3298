// The part of ONNX Runtime's C interface that this program calls, for those who have its library but not its header
// (the Python package brings only the library). With the official header (-DONNXRUNTIME_ROOT) this file is not used.
//
// The interface is a table of function pointers. ONNX Runtime promises that members are only ever appended, and that a
// library serves every older version of the table; asked for version 1, each library since 1.0 gives a table that
// begins like this. Names, types and numbers are those of onnxruntime_c_api.h.
#pragma once

#include <cstddef>
#include <cstdint>

#define ORT_API_VERSION 1

extern "C" {

struct OrtEnv;
struct OrtStatus;
struct OrtMemoryInfo;
struct OrtSession;
struct OrtValue;
struct OrtRunOptions;
struct OrtTensorTypeAndShapeInfo;
struct OrtSessionOptions;
struct OrtAllocator;

enum OrtLoggingLevel { ORT_LOGGING_LEVEL_ERROR = 3 };
enum GraphOptimizationLevel { ORT_ENABLE_ALL = 99 };
enum OrtAllocatorType { OrtDeviceAllocator = 0 };
enum OrtMemType { OrtMemTypeDefault = 0 };
enum ONNXTensorElementDataType {
  ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT = 1,
  ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8 = 2,
  ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32 = 6,
  ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64 = 7
};

// Places of the table that are not used here keep their size only; the number is the place of the first of them.
struct OrtApi {
  void* place_0[2];
  const char* (*GetErrorMessage)(const OrtStatus* status);                                           // 2
  OrtStatus* (*CreateEnv)(OrtLoggingLevel level, const char* name, OrtEnv** out);                    // 3
  void* place_4[4];
  OrtStatus* (*CreateSessionFromArray)(const OrtEnv* env, const void* model, size_t size,            // 8
                                       const OrtSessionOptions* options, OrtSession** out);
  OrtStatus* (*Run)(OrtSession* session, const OrtRunOptions* options, const char* const* input_names,
                    const OrtValue* const* inputs, size_t input_count, const char* const* output_names,
                    size_t output_count, OrtValue** outputs);                                        // 9
  OrtStatus* (*CreateSessionOptions)(OrtSessionOptions** out);                                       // 10
  void* place_11[12];
  OrtStatus* (*SetSessionGraphOptimizationLevel)(OrtSessionOptions* options, GraphOptimizationLevel level);  // 23
  OrtStatus* (*SetIntraOpNumThreads)(OrtSessionOptions* options, int threads);                       // 24
  OrtStatus* (*SetInterOpNumThreads)(OrtSessionOptions* options, int threads);                       // 25
  void* place_26[4];
  OrtStatus* (*SessionGetInputCount)(const OrtSession* session, size_t* out);                        // 30
  OrtStatus* (*SessionGetOutputCount)(const OrtSession* session, size_t* out);                       // 31
  void* place_32[4];
  OrtStatus* (*SessionGetInputName)(const OrtSession* session, size_t index, OrtAllocator* allocator, char** out);
  OrtStatus* (*SessionGetOutputName)(const OrtSession* session, size_t index, OrtAllocator* allocator, char** out);
  void* place_38[11];
  OrtStatus* (*CreateTensorWithDataAsOrtValue)(const OrtMemoryInfo* memory, void* data, size_t bytes,  // 49
                                               const int64_t* shape, size_t rank, ONNXTensorElementDataType type,
                                               OrtValue** out);
  OrtStatus* (*IsTensor)(const OrtValue* value, int* out);                                           // 50
  OrtStatus* (*GetTensorMutableData)(OrtValue* value, void** out);                                   // 51
  void* place_52[8];
  OrtStatus* (*GetTensorElementType)(const OrtTensorTypeAndShapeInfo* info, ONNXTensorElementDataType* out);  // 60
  OrtStatus* (*GetDimensionsCount)(const OrtTensorTypeAndShapeInfo* info, size_t* out);              // 61
  OrtStatus* (*GetDimensions)(const OrtTensorTypeAndShapeInfo* info, int64_t* out, size_t rank);     // 62
  void* place_63[2];
  OrtStatus* (*GetTensorTypeAndShape)(const OrtValue* value, OrtTensorTypeAndShapeInfo** out);       // 65
  void* place_66[3];
  OrtStatus* (*CreateCpuMemoryInfo)(OrtAllocatorType type, OrtMemType memory, OrtMemoryInfo** out);  // 69
  void* place_70[6];
  OrtStatus* (*AllocatorFree)(OrtAllocator* allocator, void* memory);                                // 76
  void* place_77[1];
  OrtStatus* (*GetAllocatorWithDefaultOptions)(OrtAllocator** out);                                  // 78
  void* place_79[13];
  void (*ReleaseEnv)(OrtEnv* env);                                                                   // 92
  void (*ReleaseStatus)(OrtStatus* status);                                                          // 93
  void (*ReleaseMemoryInfo)(OrtMemoryInfo* info);                                                    // 94
  void (*ReleaseSession)(OrtSession* session);                                                       // 95
  void (*ReleaseValue)(OrtValue* value);                                                             // 96
  void* place_97[2];
  void (*ReleaseTensorTypeAndShapeInfo)(OrtTensorTypeAndShapeInfo* info);                            // 99
  void (*ReleaseSessionOptions)(OrtSessionOptions* options);                                         // 100
};

struct OrtApiBase {
  const OrtApi* (*GetApi)(uint32_t version);
  const char* (*GetVersionString)();
};

const OrtApiBase* OrtGetApiBase();

}  // extern "C"

static_assert(offsetof(OrtApi, ReleaseSessionOptions) == 100 * sizeof(void*), "a place of the table is missing");
static_assert(offsetof(OrtApi, GetTensorTypeAndShape) == 65 * sizeof(void*), "a place of the table is missing");
static_assert(offsetof(OrtApi, SessionGetInputName) == 36 * sizeof(void*), "a place of the table is missing");
