"""Roots: which folder of the vault is which part of an archive's flat map of paths.

An archive path is a root's prefix plus the path below the root's folder. Two roots, ``Root("", "secret", "kleidia")``
and ``Root("yubikeys/", "yubikeys")``, give the paths of the spec's example: ``jwt-secret``, ``yubikeys/abc123/piv``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from ...errors import ConfigurationError
from ...words import is_unicode


@dataclass(frozen=True, slots=True)
class Root:
    """The folder ``path`` of KV mount ``mount`` (all of it when empty), as archive paths that begin with ``prefix``.

    ``prefix`` is empty or ends with a slash. ``kv_version`` is asked of the server unless given (1 or 2). A backup
    refuses a root that holds nothing, for its path may be a mistake, unless ``allow_empty``.
    Raises ``ConfigurationError`` for what can name no folder.
    """

    prefix: str
    mount: str
    path: str = ""
    kv_version: int | None = None
    allow_empty: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "mount", self.mount.strip("/"))
        object.__setattr__(self, "path", self.path.strip("/"))
        if self.prefix and (not self.prefix.endswith("/") or unusable(self.prefix[:-1])):
            raise ConfigurationError(
                f"The prefix {self.prefix!r} of a vault root cannot be used.",
                hint='It is "" or a folder that ends with a slash, such as "yubikeys/".',
            )
        if why := unusable(self.mount) or (self.path and unusable(self.path)):
            raise ConfigurationError(f"The vault root {self} cannot be used: {why}.", hint="Correct the mount or path.")
        if self.kv_version not in {None, 1, 2}:
            raise ConfigurationError(f"There is no KV version {self.kv_version}.", hint="Use 1 or 2, or leave it out.")

    def __str__(self) -> str:
        return f"{self.mount}/{self.folder}"

    @property
    def folder(self) -> str:
        """The path inside the mount, with a slash at its end unless it is the whole mount."""
        return self.path and self.path + "/"


def owns(own: Sequence[str], mount: str, path: str) -> bool:
    """Whether a place in a vault is one of the product's ``own``.

    Each of these is a mount and a path, ``secret/kleidia/password``; one that ends with a slash is a folder with all
    that is in it. ``path`` is a secret's, or a folder's when it ends with a slash.
    """
    place = f"{mount}/{path}"
    return any(place == each or (each.endswith("/") and place.startswith(each)) for each in own)


def unusable(path: str) -> str:
    """Why no vault can hold a secret at this path; empty when it can."""
    segments = path.split("/")
    if "" in segments:
        return "a name in it is empty"
    if "." in segments or ".." in segments:
        return "a name in it is . or .."
    return "" if is_unicode(path) else "it is not valid Unicode"


def check_roots(roots: Sequence[Root]) -> None:
    """Raise ``ConfigurationError`` unless every secret belongs to one root only, on both sides."""
    if not roots:
        raise ConfigurationError("No vault root is configured.", hint='The usual one is "" for mount secret.')
    for first, second in combinations(roots, 2):
        if first.prefix == second.prefix:
            raise ConfigurationError(
                f"The vault roots {first} and {second} have the same prefix {first.prefix!r}.",
                hint="Give one of them another prefix.",
            )
        one, other = f"{first}".rstrip("/") + "/", f"{second}".rstrip("/") + "/"
        if one.startswith(other) or other.startswith(one):
            raise ConfigurationError(
                f"The vault roots {first} and {second} overlap: a secret would be in the archive twice.",
                hint="Leave one of them out, or choose folders that lie side by side.",
            )


def locate(roots: Sequence[Root], archive_path: str) -> tuple[Root, str]:
    """The root of an archive path, and the path inside that root's mount. The longest matching prefix wins.

    Raises ``ConfigurationError`` when no root matches, or when no vault can hold such a path.
    """
    root = owner(roots, archive_path)
    if root is None:
        raise ConfigurationError(
            f"No vault root takes the path {archive_path!r} of this archive.",
            hint='Add a root whose prefix it begins with; the prefix "" takes everything.',
        )
    relative = archive_path[len(root.prefix) :]
    if why := unusable(relative):
        raise ConfigurationError(
            f"No vault can hold a secret at {archive_path!r}: {why}.",
            hint="Whatever wrote this archive made a path of its own; it cannot be restored as it is.",
        )
    return root, root.folder + relative


def owner(roots: Sequence[Root], archive_path: str) -> Root | None:
    """The root with the longest prefix that an archive path begins with."""
    matching = (root for root in roots if archive_path.startswith(root.prefix))
    return max(matching, key=lambda root: len(root.prefix), default=None)
