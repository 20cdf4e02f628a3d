"""The commented example that ``kleidia-backup config --example`` prints, made from the declarations."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap

from .keys import KEYS, SECTIONS, Key

_HEAD = """\
# Configuration of kleidia-backup. It is looked for in this order: --config FILE, the file that KLEIDIA_CONFIG names,
# ./kleidia-backup.toml, /etc/kleidia-backup/config.toml. The command works without a file too, by variables alone.
#
# Lines that begin with "#name =" are keys with their default or an example; take the # away to set them.
# The environment variable behind each key overrides it. Variables of other tools (after "else") count only where
# neither that one nor this file says anything.
# Secrets may stand here (then: chmod 600), or each in a file of its own, by the key that ends in _file.
# Relative paths start at the directory of this file. Times are seconds, or texts such as "90s", "30m", "2h"."""

#: The example of the specification's "Archive Contents".
_ROOTS = """\
[[vault.roots]]
prefix = ""
mount = "secret"
path = "kleidia"

[[vault.roots]]
prefix = "yubikeys/"
mount = "yubikeys\""""


_CHECKS = """\
#[[drill.checks]]
#name = "there are users"
#sql = "SELECT count(*) > 0 FROM users"
#expect = "true"
#
#[[drill.checks]]
#name = "the signing key is there"
#secret = "jwt-secret\""""
_GRANTS = """\
#[[service.grants]]
#of = "backup-operators"
#role = "operator"
#
#[[service.grants]]
#of = "team-vienna"
#role = "admin"
#targets = ["vienna", "graz"]"""
_TARGETS = """\
# Several systems: each is a target, here or in a file NAME.toml of targets_dir. What one does not say it has from the
# sections above; what it does not have from there, docs/many-systems.md says. These stand in no variable.
#[targets.kleidia]
#labels = ["vienna"]
#
#[targets.kleidia.database]
#name = "kleidia\""""
#: Second copies: their keys are those of [store], and have no variables.
_COPIES = """\
# Second copies: each of these stores gets every archive, as it is. They take the keys of [store], and these;
# docs/copies.md says more. There are no environment variables for them; secrets have keys that end in _file.
#[[copies]]
#name = "offsite"                                         # what it is called; without it: copy-1, copy-2, …
#type = "s3"
#endpoint = "https://s3.elsewhere.example.org"
#bucket = "kleidia-copies"
#prefix = "backups/"
#access_key_id = "AKIAIOSFODNN7EXAMPLE"
#secret_access_key_file = "/run/secrets/copies-secret-access-key"
#retention_days = 365                                     # its own; 0: nothing is ever deleted there
#keep_at_least = 3                                        # and keep_daily, keep_weekly, keep_monthly, keep_yearly
#lag = "24h"                                              # told when an archive lacks its copy for longer
#read_back = true                                         # read each copy, and compare its SHA-256"""
#: Tables of their own.
_TABLES = {"roots": _ROOTS, "checks": _CHECKS, "grants": _GRANTS}


def example() -> str:
    """The whole example: valid as it is, and every key that exists stands in it."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield _HEAD
    for section, about in SECTIONS.items():
        if section == "backup":
            yield from ("", _COPIES)
        commented = section in {"password.vault", "login"}
        yield ""
        yield from _comment(about.doc)
        yield f"{'#' if commented else ''}[{section}]"
        keys = [key for key in KEYS.values() if key.section == section]
        for key in keys:
            if key.kind not in _TABLES:
                shown = key.shown and not commented
                yield from _comment(key.doc)
                yield f"{'' if shown else '#'}{key.name} = {key.example}".ljust(56) + f"  # {_variables(key)}"
        for key in keys:
            if key.kind in _TABLES:  # tables of their own, hence behind the section's plain keys
                yield ""
                yield from _comment(f"{key.doc} ({key.variable}).")
                yield _TABLES[key.kind]
    yield ""
    yield _TARGETS


def _variables(key: Key) -> str:
    return f"{key.variable}, else {', '.join(key.standard)}" if key.standard else key.variable


def _comment(text: str) -> Iterator[str]:
    for line in text.split("\n"):
        for part in wrap(line, 116, break_long_words=False, break_on_hyphens=False):
            yield f"# {part}"
