"""How this process takes memory from the C library."""

from __future__ import annotations

from contextlib import suppress

#: glibc's name for the most arenas (malloc.h).
_M_ARENA_MAX = -8


def share_one_arena() -> None:
    """Let all threads allocate from one arena, which keeps peak memory flat; to be called before there are threads.

    glibc gives threads arenas of their own, each of which keeps what was once freed in it: chunks that pass from
    thread to thread leave tens of MiB behind in every one. An operator's ``MALLOC_ARENA_MAX`` means the same; other C
    libraries have no such thing, and then this does nothing.
    """
    import ctypes

    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
