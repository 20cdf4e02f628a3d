"""How this process takes memory from the C library, and that it does not tidy up at its end."""

from __future__ import annotations

import atexit
import gc
from contextlib import suppress

MIB = 1024 * 1024

#: glibc's names (malloc.h), and what they are set to.
_SETTINGS = {
    # All threads share one arena. In arenas of their own, chunks that pass from thread to thread leave tens of MiB
    # behind in every one.
    -8: 1,  # M_ARENA_MAX
    # Chunks of a MiB come from it too, and what is freed stays: otherwise each one is mapped, zeroed and unmapped.
    -3: 4 * MIB,  # M_MMAP_THRESHOLD
    -1: 16 * MIB,  # M_TRIM_THRESHOLD
}


def settle_malloc() -> None:
    """Make peak memory flat and chunks cheap; to be called before there are threads.

    For glibc; with other C libraries this does nothing. An operator's own ``MALLOC_ARENA_MAX`` means the same.
    """
    import ctypes

    with suppress(AttributeError, OSError):
        library = ctypes.CDLL(None)
        for parameter, value in _SETTINGS.items():
            library.mallopt(parameter, value)


def end_quickly() -> None:
    """At the end of the process leave objects that refer to each other to the system, which takes all memory back.

    The interpreter would look for them several times, among everything that was imported.
    """
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)
