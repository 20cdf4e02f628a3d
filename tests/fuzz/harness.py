"""What a harness is: a function of bytes that raises for a finding alone; and how it takes its input apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

#: Between the parts of an input. None of the texts that are read here has it, and every place of a mutation is a place.
SEPARATOR = b"\x1e"
#: Pieces of the sizes that an input asks for; the rest comes in large ones, for a bomb must not become a million calls.
_SMALL_PIECES = 64
_LARGE = 64 * 1024


class Finding(AssertionError):
    """What no input may bring about."""


@dataclass(frozen=True, slots=True)
class Harness:
    """One reader or parser.

    ``one`` raises nothing but for a finding. ``seeds`` makes the corpus: inputs by their names. ``tokens`` are what
    mutations put in. ``max_len`` is the longest input, in bytes.
    """

    one: Callable[[bytes], None]
    seeds: Callable[[], Mapping[str, bytes]]
    tokens: tuple[bytes, ...] = ()
    max_len: int = 4096


def parts(data: bytes, count: int) -> list[bytes]:
    """An input in so many parts; those that are missing are empty, and the last has what is left."""
    found = data.split(SEPARATOR, count - 1)
    return found + [b""] * (count - len(found))


def joined(*texts: bytes) -> bytes:
    """The input of these parts."""
    return SEPARATOR.join(texts)


def pieces(data: bytes, sizes: bytes) -> Iterator[bytes]:
    """The data in pieces as large as these bytes say, in turn; all at once where they say nothing."""
    given = [size for size in sizes if size]
    at = 0
    for turn in range(_SMALL_PIECES if given else 0):
        if at >= len(data):
            return
        size = given[turn % len(given)]
        yield data[at : at + size]
        at += size
    step = _LARGE if given else max(1, len(data))
    for start in range(at, len(data), step):
        yield data[start : start + step]


def expect_same(ours: object, other: object, what: str) -> None:
    """Raise ``Finding`` where two readings differ."""
    if ours != other:
        raise Finding(f"{what} differs: {str(ours)[:500]!r} here, {str(other)[:500]!r} there")


@contextmanager
def replaced(module: Any, **names: object) -> Iterator[None]:
    """A module with other things under these names, for as long as this is open."""
    before = {name: getattr(module, name) for name in names}
    for name, value in names.items():
        setattr(module, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(module, name, value)


def words(text: bytes, *others: bytes) -> tuple[bytes, ...]:
    """What mutations put in: the words of a text, and what has blanks in it or cannot be seen."""
    return (*text.split(), *others)


def quoted(tokens: Iterable[bytes]) -> str:
    """A dictionary as libFuzzer reads it."""
    escaped = ("".join(f"\\x{byte:02x}" for byte in token) for token in tokens)
    return "".join(f'"{text}"\n' for text in escaped)
