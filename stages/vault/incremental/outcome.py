"""What came of taking secrets from an earlier archive, and why they were read where they were."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

#: Why an archive, or one root of it, was not used. ``docs/incremental.md`` explains each.
Why: TypeAlias = Literal[
    "no_archive",
    "format_v1",
    "no_key",
    "signer",
    "damaged",
    "store",
    "other_system",
    "unrecorded",
    "other_vault",
    "other_version",
    "other_roots",
    "scattered",
    "metadata_off",
    "other_mount",
    "kv_v1",
    "no_listing",
    "rights",
]


@dataclass(frozen=True, slots=True)
class FullRead:
    """Why everything was read, or everything of one ``root`` (mount and folder)."""

    why: Why
    root: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incremental:
    """How many secrets were ``taken`` from ``archive``, and how many were ``read``.

    ``archive`` is empty where there was none that could be looked into. ``full`` says what was read as a whole.
    """

    archive: str
    taken: int
    read: int
    full: tuple[FullRead, ...] = ()
