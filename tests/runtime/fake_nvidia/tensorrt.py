"""The part of TensorRT 11's Python API that the project uses, with ONNX Runtime in place of a GPU.

Names and signatures are those of the bindings of TensorRT 11.4.0; what is not there is not here either: no builder
flags FP16 and INT8, no calibrator, no EXPLICIT_BATCH. Memory is that of the fake ``cuda.bindings.runtime`` beside it.
"""

from __future__ import annotations

import ctypes
import enum
import json

import numpy as np
import onnx
import onnxruntime

__version__ = "11.4.0.106"
built = 0  # engines
fail_to_build = False


class ILogger:
    class Severity(enum.IntEnum):
        INTERNAL_ERROR = 0
        ERROR = 1
        WARNING = 2
        INFO = 3
        VERBOSE = 4

    def __init__(self) -> None:
        pass

    def log(self, severity, msg):
        raise NotImplementedError


class NetworkDefinitionCreationFlag(enum.IntEnum):
    STRONGLY_TYPED = 0


class BuilderFlag(enum.IntEnum):
    TF32 = 6


class MemoryPoolType(enum.IntEnum):
    WORKSPACE = 0


class TensorIOMode(enum.IntEnum):
    NONE = 0
    INPUT = 1
    OUTPUT = 2


class DataType(enum.IntEnum):
    FLOAT = 0
    HALF = 1
    INT32 = 3
    UINT8 = 5


_TYPES = {1: DataType.FLOAT, 10: DataType.HALF, 6: DataType.INT32, 2: DataType.UINT8}


def nptype(trt_type):
    return {0: np.float32, 1: np.float16, 3: np.int32, 5: np.uint8}[trt_type]


class ParserError:
    def __init__(self, text):
        self._text = text

    def desc(self):
        return self._text

    def node_name(self):
        return "conv.0"

    def node_operator(self):
        return "Conv"


class ITensor:
    def __init__(self, value):
        self.name = value.name
        self.shape = tuple(d.dim_value if d.HasField("dim_value") else -1 for d in value.type.tensor_type.shape.dim)


class INetworkDefinition:
    def __init__(self, flags):
        self.flags = flags
        self.model = None

    num_inputs = property(lambda self: len(self.model.graph.input))
    num_outputs = property(lambda self: len(self.model.graph.output))

    def get_input(self, index):
        return ITensor(self.model.graph.input[index])


class OnnxParser:
    def __init__(self, network, logger):
        self._network = network
        self._errors = []

    num_errors = property(lambda self: len(self._errors))

    def get_error(self, index):
        return self._errors[index]

    def parse_from_file(self, model):
        assert isinstance(model, str)
        try:
            self._network.model = onnx.load(model)
        except Exception as error:
            self._errors.append(ParserError(f"no such operator ({type(error).__name__})"))
            return False
        return True


class IOptimizationProfile:
    def __init__(self):
        self.shapes = {}

    def set_shape(self, input, min, opt, max):
        self.shapes[input] = [list(min), list(opt), list(max)]


class IBuilderConfig:
    def __init__(self):
        self.profiles = []
        self.flags = 1 << int(BuilderFlag.TF32)
        self.pools = {}

    def set_memory_pool_limit(self, pool, pool_size):
        self.pools[pool] = int(pool_size)

    def clear_flag(self, flag):
        self.flags &= ~(1 << int(flag))

    def add_optimization_profile(self, profile):
        self.profiles.append(profile)
        return len(self.profiles) - 1


class Builder:
    def __init__(self, logger):
        assert isinstance(logger, ILogger)
        self._logger = logger

    def create_network(self, flags=0):
        return INetworkDefinition(flags)

    def create_builder_config(self):
        return IBuilderConfig()

    def create_optimization_profile(self):
        return IOptimizationProfile()

    def build_serialized_network(self, network, config):
        global built
        if fail_to_build:
            self._logger.log(ILogger.Severity.ERROR, "Could not find any implementation for node conv.0")
            return None
        built += 1
        described = {
            "shapes": config.profiles[0].shapes,
            "flags": config.flags,
            "network_flags": network.flags,
            "workspace": config.pools[MemoryPoolType.WORKSPACE],
            "model": network.model.SerializeToString().hex(),
        }
        return b"FAKE" + json.dumps(described).encode()


class Runtime:
    def __init__(self, logger):
        self._logger = logger

    def deserialize_cuda_engine(self, serialized_engine):
        if not serialized_engine.startswith(b"FAKE"):
            self._logger.log(ILogger.Severity.ERROR, "Serialization assertion failed: version mismatch")
            return None
        return ICudaEngine(json.loads(serialized_engine[4:]))


class ICudaEngine:
    def __init__(self, described):
        self.described = described
        self.session = onnxruntime.InferenceSession(
            bytes.fromhex(described["model"]), providers=["CPUExecutionProvider"]
        )
        graph = onnx.load_from_string(bytes.fromhex(described["model"])).graph
        self._values = [*graph.input, *graph.output]

    num_io_tensors = property(lambda self: len(self._values))

    def _value(self, name):
        return next(v for v in self._values if v.name == name)

    def get_tensor_name(self, index):
        return self._values[index].name

    def get_tensor_mode(self, name):
        return TensorIOMode.INPUT if self._values[0].name == name else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name):
        return _TYPES[self._value(name).type.tensor_type.elem_type]

    def get_tensor_profile_shape(self, name, profile_index):
        assert profile_index == 0
        return self.described["shapes"][name]

    def create_execution_context(self):
        return IExecutionContext(self)


class IExecutionContext:
    unknown = False  # shapes are known after a run only, as with output vim

    def __init__(self, engine):
        self._engine = engine
        self._addresses = {}
        self._shapes = {}

    def set_input_shape(self, name, shape):
        self._shapes = {name: tuple(shape)}
        return True

    def infer_shapes(self):
        return []

    def _run(self):
        source, result = (self._engine.get_tensor_name(i) for i in range(2))
        shape = self._shapes[source]
        dtype = np.dtype(nptype(self._engine.get_tensor_dtype(source)))
        count = int(np.prod(shape)) * dtype.itemsize
        x = np.frombuffer(ctypes.string_at(self._addresses[source], count), dtype).reshape(shape)
        return result, self._engine.session.run([result], {source: x})[0]

    def get_tensor_shape(self, name):
        if name in self._shapes:
            return self._shapes[name]
        batch, _, height, width = self._shapes[self._engine.get_tensor_name(0)]
        return (-1, height, width) if self.unknown else (batch, height, width)

    def get_max_output_size(self, name):
        return 8 * int(np.prod(self._shapes[self._engine.get_tensor_name(0)]))

    def set_tensor_address(self, name, memory):
        self._addresses[name] = int(memory)
        return True

    def execute_async_v3(self, stream_handle):
        assert isinstance(stream_handle, int)
        name, output = self._run()
        ctypes.memmove(self._addresses[name], output.tobytes(), output.nbytes)
        self._shapes[name] = output.shape
        return True
