"""Memory of freed tensors, for images so large that it does not fit into the process twice."""

from __future__ import annotations

import ctypes

# Numbers of glibc's <malloc.h>, and the defaults of its manual.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_DEFAULTS = {_TRIM_THRESHOLD: 128 * 1024, _MMAP_MAX: 65536}


def give_freed_memory_back() -> None:
    """Undo :func:`paddle_mobileseg.cpu.keep_freed_memory` for the rest of the process.

    Freed tensors of different sizes leave gaps that the next ones do not fit into: the process grows by up to half of
    what it needs. Given back they cost a page fault for every 4 kB. Does nothing where the C library is another.
    """
    try:
        library = ctypes.CDLL(None)
        for name, value in _DEFAULTS.items():
            library.mallopt(name, value)
        library.malloc_trim(0)
    except (OSError, AttributeError):
        return
