"""One secret, as it travels between the vault, the archive and back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import msgspec

#: Largest JSON text of one secret, in bytes. OpenBao's raft storage takes 1 MiB by default.
MAX_SECRET = 8 * 1024 * 1024
#: Largest text of a secret's metadata, in bytes: a vault takes 64 pairs of 128 and 512 characters.
MAX_METADATA = 256 * 1024

#: Largest secret on an edge, its path and its metadata included.
MAX_ITEM = MAX_SECRET + MAX_METADATA + 64 * 1024


#: Why a secret has no value: its newest version is deleted or destroyed, or it has no version at all (metadata alone).
Gone: TypeAlias = Literal["deleted", "destroyed", "none"]


class Metadata(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, repr_omit_defaults=True):
    """What a vault keeps about a key besides its versions: custom metadata, and the settings of this key.

    ``delete_version_after`` is text as the vault writes it, such as ``3h0m0s``; empty is none. ``partial``: the
    settings are not known, the custom metadata alone. As in the metadata of format V2 (SPEC.md, section 7).
    """

    custom_metadata: dict[str, str] = msgspec.field(default_factory=dict)
    max_versions: int = 0
    cas_required: bool = False
    metadata_cas_required: bool = False
    delete_version_after: str = ""
    partial: bool = False

    @property
    def plain(self) -> bool:
        """Whether it says nothing that a new key does not have."""
        return self == PLAIN


#: What a new key has.
PLAIN = Metadata()


@dataclass(frozen=True, slots=True)
class Version:
    """An older version of a secret: its value as JSON text, or None when that was deleted, or ``destroyed``.

    ``created`` is as of ``Origin``; empty where it is not known.
    """

    number: int
    value: bytes | None = None
    destroyed: bool = False
    created: str = field(default="", compare=False)

    def __repr__(self) -> str:
        return f"Version({self.number})"


@dataclass(frozen=True, slots=True)
class Origin:
    """The version that a value was read of, and the time at which that was ``created``, as the vault writes it."""

    version: int
    created: str


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret's archive path (without a leading slash) and its value as JSON text, exactly as the server wrote it.

    The value never appears in ``repr``. ``metadata`` is None where it is not known. ``version`` is the number of the
    newest version, ``older`` are others, in order, and ``oldest`` is what the vault calls the oldest one (0 until it
    has no room for more); 0 and none where only the value is known. One that is ``gone`` has an empty ``value``, which
    is no JSON, and ``version`` says which version is deleted or destroyed. ``origin`` is where ``value`` is from, also
    where no version is brought back; two secrets that differ in it alone are the same.
    """

    path: str
    value: bytes
    metadata: Metadata | None = None
    version: int = 0
    older: tuple[Version, ...] = ()
    oldest: int = 0
    gone: Gone | None = None
    origin: Origin | None = field(default=None, compare=False)

    @property
    def nbytes(self) -> int:
        """Bytes this secret occupies on an edge."""
        size = len(self.path) + len(self.value)
        if self.metadata is not None and (custom := self.metadata.custom_metadata):
            size += sum(map(len, (*custom, *custom.values())))
        return size + sum(len(each.value or b"") for each in self.older) if self.older else size

    def __repr__(self) -> str:
        return f"Secret(path={self.path!r}, value=<{len(self.value)} bytes>)"
