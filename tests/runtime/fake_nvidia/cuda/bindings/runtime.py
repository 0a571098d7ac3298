# ruff: noqa: N801, N802, N815 (the names are NVIDIA's)
"""The part of cuda-python's ``cuda.bindings.runtime`` (13.4) that the project uses, in the computer's own memory.

As there, every function gives a tuple that begins with an error code.
"""

from __future__ import annotations

import ctypes
import enum
import time
from types import SimpleNamespace


class cudaError_t(enum.IntEnum):
    cudaSuccess = 0
    cudaErrorMemoryAllocation = 2
    cudaErrorInsufficientDriver = 35


class cudaMemcpyKind(enum.IntEnum):
    cudaMemcpyHostToDevice = 1
    cudaMemcpyDeviceToHost = 2


DEVICES = 1
MEMORY = 2**30
OK = cudaError_t.cudaSuccess
blocks: dict[int, ctypes.Array] = {}
calls: list[str] = []


def cudaGetDeviceCount():
    return (OK, DEVICES) if DEVICES else (cudaError_t.cudaErrorInsufficientDriver, None)


def cudaGetErrorString(error):
    return OK, b"CUDA driver version is insufficient" if error == 35 else b"out of memory"


def cudaSetDevice(device):
    return (OK,)


def cudaGetDeviceProperties(device):
    return OK, SimpleNamespace(name=b"Fake GPU", major=8, minor=6)


def cudaMalloc(size):
    if size > MEMORY:
        return cudaError_t.cudaErrorMemoryAllocation, None
    block = ctypes.create_string_buffer(size)
    blocks[ctypes.addressof(block)] = block
    return OK, ctypes.addressof(block)


def cudaFree(address):
    del blocks[address]
    return (OK,)


def cudaMemcpyAsync(dst, src, count, kind, stream):
    calls.append("copy")
    device = dst if kind == cudaMemcpyKind.cudaMemcpyHostToDevice else src
    assert count <= len(blocks[device])
    ctypes.memmove(dst, src, count)
    return (OK,)


def cudaStreamCreate():
    return OK, 77


def cudaStreamSynchronize(stream):
    calls.append("wait")
    return (OK,)


def cudaStreamDestroy(stream):
    return (OK,)


def cudaEventCreate():
    return OK, SimpleNamespace(recorded=None, done=None)


def cudaEventRecord(event, stream):
    assert stream == 77
    calls.append("record")
    event.recorded, event.done = time.perf_counter(), False
    return (OK,)


def cudaEventSynchronize(event):
    calls.append("synchronize")
    event.done = True
    return (OK,)


def cudaEventElapsedTime(start, end):
    assert end.done, "the clock is read before the GPU has come to the event"
    return OK, 1000 * (end.recorded - start.recorded)


def cudaEventDestroy(event):
    return (OK,)
