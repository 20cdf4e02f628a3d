"""The product's own names: archives are called ``{prefix}backup-….enc``, and nothing else is ever cleaned up."""

from __future__ import annotations

import re
import secrets

from ..errors import ConfigurationError
from ..setting import Setting

#: The folder of a store's archives.
PREFIX = Setting(
    "The folder for the archives (empty: the bucket or directory itself); each installation needs one of its own.",
    "backups/",
    shown=True,
    pattern=r"(?=.{0,200}\Z)((?!\.{1,2}(/|\Z))[A-Za-z0-9!_.*'()=@+,:;& -]+(/|\Z))*",
    must="a folder, such as backups/, without a slash at its beginning, and without //, /./ or /../",
)

#: What the name of every archive ends with, also of one that somebody named.
SUFFIX = ".enc"

_PROBE = re.compile(r"backup-check-[0-9a-f]{16}\.enc")
_ARCHIVE = re.compile(r"backup-[^/]+\.enc")


def folder(prefix: str) -> str:
    """A configured prefix as what archives' names begin with: nothing, or a folder with a slash at its end.

    Without the slash the archives of ``app`` would be called ``appbackup-…``, and lie among those of ``apple``.
    Raises ``ConfigurationError`` for what no store takes for a folder.
    """
    if prefix and ({"", ".", ".."} & set(prefix.removesuffix("/").split("/")) or "\0" in prefix):
        raise ConfigurationError(
            f"The prefix {prefix!r} of the store cannot be used.",
            hint='It is a folder such as "backups/", without a slash at its beginning, and without //, /./ or /../.',
        )
    return prefix if not prefix or prefix.endswith("/") else f"{prefix}/"


def is_directly_under(name: str, prefix: str) -> bool:
    """Whether an object is in the very folder of a prefix: those below may be other installations'."""
    return name.startswith(prefix) and "/" not in name[len(prefix) :]


def is_ours(name: str, prefix: str) -> bool:
    """Whether ``name`` (with its prefix) is one that this product gives to an archive under ``prefix``."""
    return name.startswith(prefix) and _ARCHIVE.fullmatch(name, len(prefix)) is not None


def is_archive(name: str) -> bool:
    """Whether an object of this name is an archive, and no other thing that we keep beside them."""
    return name.endswith(SUFFIX)


def probes(prefix: str) -> str:
    """What the names of all probes begin with."""
    return f"{prefix}backup-check-"


def is_probe(name: str, prefix: str) -> bool:
    """Whether an object is a probe that somebody left: it is no archive, and goes with the next run."""
    return name.startswith(prefix) and _PROBE.fullmatch(name, len(prefix)) is not None


def probe_name(prefix: str) -> str:
    """A new name for a probe of what the store allows; a left-over of it is cleaned up like an upload."""
    return f"{probes(prefix)}{secrets.token_hex(8)}{SUFFIX}"
