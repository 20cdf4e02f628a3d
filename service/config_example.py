"""The commented example that ``kleidia-backup config --example`` prints, made from the table of keys."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING

from .config_keys import KEYS, SECTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .config_keys import Key

_HEAD = """\
# Configuration of kleidia-backup. It is looked for in this order: --config FILE, the file that KLEIDIA_CONFIG names,
# ./kleidia-backup.toml, /etc/kleidia-backup/config.toml. The command works without a file too, by variables alone.
#
# Lines that begin with "#name =" are keys with their default or an example; take the # away to set them.
# The environment variable behind each key overrides it. Variables of other tools (after "else") count only where
# neither that one nor this file says anything.
# Secrets may stand here (then: chmod 600), or each in a file of its own, by the key that ends in _file.
# Relative paths start at the directory of this file. Times are seconds, or texts such as "90s", "30m", "2h"."""

#: For the login that is shown; and the example of the specification's "Archive Contents".
_SHOWN = {("vault.auth", "role_id"), ("vault.auth", "secret_id_file"), ("database", "password_file")}
_SHOWN |= {("store", "access_key_id"), ("store", "secret_access_key_file")}
_ROOTS = """\
[[vault.roots]]
prefix = ""
mount = "secret"
path = "kleidia"

[[vault.roots]]
prefix = "yubikeys/"
mount = "yubikeys\""""


def example() -> str:
    """The whole example: valid as it is, and every key that exists stands in it."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield _HEAD
    for section, text in SECTIONS.items():
        commented = section == "password.vault"
        yield ""
        yield from _comment(text)
        yield f"{'#' if commented else ''}[{section}]"
        keys = [key for key in KEYS.values() if key.section == section]
        for key in keys:
            if key.kind != "roots":
                shown = not commented and (key.shown or (key.section, key.name) in _SHOWN)
                yield from _comment(key.doc)
                yield f"{'' if shown else '#'}{key.name} = {key.example}".ljust(56) + f"  # {_variables(key)}"
        for key in keys:
            if key.kind == "roots":  # tables of their own, hence behind the section's plain keys
                yield ""
                yield from _comment(f"{key.doc} ({key.variable}).")
                yield _ROOTS


def _variables(key: Key) -> str:
    return f"{key.variable}, else {', '.join(key.standard)}" if key.standard else key.variable


def _comment(text: str) -> Iterator[str]:
    for line in text.split("\n"):
        for part in wrap(line, 116, break_long_words=False, break_on_hyphens=False):
            yield f"# {part}"
