"""A reader that is wrong on purpose, so that a test sees a search find it. It is in no run that does not name it."""

from __future__ import annotations

from collections.abc import Mapping

from kleidia_backup.formats.json.scan import MalformedJson, ValueScanner

from ..harness import Finding, Harness


def one(data: bytes) -> None:
    """Every object is refused, says this one."""
    try:
        end = ValueScanner().scan(data + b" ")
    except MalformedJson:
        return
    if end is not None and data.startswith(b"{}"):
        raise Finding("an object that is taken")


def seeds() -> Mapping[str, bytes]:
    """None: it is found from nothing."""
    return {}


HARNESSES = {"planted": Harness(one, seeds, (b"{}",), 8)}
