"""The configuration: a TOML file, environment variables over it, and nothing in it that is not known.

In order: our own variables (``KLEIDIA_STORE_BUCKET``), the file, the variables that other tools read as well.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ..stages.errors import ConfigurationError
from .keys import DECLARED, KEYS, SECTIONS, Key
from .values import from_environment, from_file, within_limits

#: Where a configuration is looked for when none is named.
DEFAULT_FILES = (Path("kleidia-backup.toml"), Path("/etc/kleidia-backup/config.toml"))
#: The variable that names a configuration file, and the one that holds the encryption password.
FILE_VARIABLE, PASSWORD_VARIABLE = "KLEIDIA_CONFIG", "KLEIDIA_BACKUP_PASSWORD"

_EXAMPLE = "`kleidia-backup config --example` prints every key."
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,40}")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Config:
    """What was configured. ``repr`` shows which keys, no values. ``warnings`` are for the operator's eyes.

    ``targets`` are the tables of several systems, as they stand in the file (``config/targets``). In the configuration
    of one of them ``target`` is its name, ``own`` the sections that it has itself, ``labels`` where its jobs run.
    ``copies`` are the tables of [[copies]], as they stand in the file that is named there (``config/copies``).
    """

    file: Path | None
    sections: frozenset[str]
    warnings: tuple[str, ...] = ()
    values: Mapping[tuple[str, str], object] = field(default_factory=dict, repr=False)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    targets: Mapping[str, object] = field(default_factory=dict, repr=False)
    target: str = ""
    own: frozenset[str] = frozenset()
    labels: tuple[str, ...] = ()
    copies: tuple[Path | None, object] = field(default=(None, ()), repr=False)

    def __repr__(self) -> str:
        return f"Config({str(self.file)!r}, {sorted('.'.join(key) for key in self.values)})"

    def get(self, section: str, name: str, expected: type[T]) -> T | None:
        """A value, None when nothing says it. Raises ``ConfigurationError`` for an unusable standard variable."""
        value = self.values.get((section, name))
        key = KEYS[section, name]
        if value is None and not self._replaced(key):
            for variable in key.standard:
                if text := self.environment.get(variable):
                    value = from_environment(key, text, variable)
                    break
        assert value is None or isinstance(value, expected), key.where
        return value

    def secret(self, section: str, name: str) -> str | None:
        """A secret, given itself or by a file that holds it (a line break at its end does not count).

        Raises ``ConfigurationError`` when that file cannot be read, or is empty.
        """
        path = self.get(section, f"{name}_file", Path)
        return self.get(section, name, str) if path is None else read_secret(path, KEYS[section, f"{name}_file"].where)

    def has(self, section: str, name: str) -> bool:
        """Whether our variables or the file set this key, itself or as a file that holds it."""
        return (section, name) in self.values or (section, f"{name}_file") in self.values

    def of(self, owner: type) -> dict[str, Any]:
        """What is said of the settings that a class declares, by its fields; secrets are read from their files.

        Raises ``ConfigurationError`` as ``get`` and ``secret`` do.
        """
        found = {}
        for key in DECLARED[owner]:
            if not key.file:
                read = self.secret if key.in_file else partial(self.get, expected=object)
                if (value := read(key.section, key.name)) is not None:
                    found[key.of.field] = within_limits(key, value)
        return found

    def _replaced(self, key: Key) -> bool:
        """Whether another key that excludes this one is set."""
        return bool(key.group) and any(KEYS[each].group == key.group for each in self.values)


def load(file: Path | None = None, environment: Mapping[str, str] | None = None) -> Config:
    """Read the configuration: ``file``, else the one ``KLEIDIA_CONFIG`` names, else the first default that exists.

    Raises ``ConfigurationError`` for a file that cannot be read, an unknown key, a value that cannot be used.
    """
    environment = os.environ if environment is None else environment
    file = _find(file, environment)
    tables = parse(file) if file else {}
    targets = _targets(tables.pop("targets", {}))
    copies = tables.pop("copies", ())
    found, sections = read_sections(file, tables) if file else ({}, set())
    overrides, warnings = _overrides(environment)
    warnings = (*exposed(file, found, copies), *warnings)
    replaced = {(KEYS[each].group) for each in overrides if KEYS[each].group}
    values = {each: value for each, value in found.items() if KEYS[each].group not in replaced} | overrides
    _refuse_alternatives(values)
    sections |= {section for section, _ in overrides}
    sections |= {section.partition(".")[0] for section in sections}
    return Config(file, frozenset(sections), warnings, values, environment, targets, copies=(file, copies))


def read_secret(path: Path, where: str) -> str:
    """A file that holds a secret: UTF-8, one line break at its end stripped. Raises ``ConfigurationError``."""
    try:
        text = path.read_bytes().decode()
    except OSError as exc:
        raise ConfigurationError(
            f"{path}, the {where}, cannot be read: {exc.strerror}.",
            hint="Correct the path, or the file's mode and owner.",
        ) from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path}, the {where}, is not UTF-8.", hint="Save it as UTF-8.") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise ConfigurationError(f"{path}, the {where}, is empty.", hint="Write the secret into it, and nothing else.")
    return text


def _find(file: Path | None, environment: Mapping[str, str]) -> Path | None:
    if file is None and (named := environment.get(FILE_VARIABLE)):
        file = Path(named).expanduser()
    if file is not None:
        return file
    return next((each for each in DEFAULT_FILES if each.is_file()), None)


def parse(file: Path) -> dict[str, Any]:
    """What stands in a TOML file. Raises ``ConfigurationError``."""
    try:
        return tomllib.loads(file.read_bytes().decode())
    except OSError as exc:
        raise ConfigurationError(
            f"The configuration {file} cannot be read: {exc.strerror}.",
            hint=f"Correct --config or {FILE_VARIABLE}, or the file's mode. {_EXAMPLE}",
        ) from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"The configuration {file} is not UTF-8.", hint="Save it as UTF-8.") from None
    except tomllib.TOMLDecodeError as exc:
        raise ConfigurationError(f"The configuration {file} is not TOML: {exc}.", hint=_EXAMPLE) from None
    except RecursionError:
        raise ConfigurationError(f"The configuration {file} is nested too deep.", hint=_EXAMPLE) from None
    except ValueError:  # of int(), which reads a few thousand digits at most
        raise ConfigurationError(
            f"The configuration {file} holds a number of thousands of digits.",
            hint=f"Correct it: no value takes such a number. {_EXAMPLE}",
        ) from None


def read_sections(file: Path, tables: Mapping[str, object]) -> tuple[dict[tuple[str, str], object], set[str]]:
    """The values of the sections of a file, and which sections those are. Raises ``ConfigurationError``."""
    values: dict[tuple[str, str], object] = {}
    sections: set[str] = set()
    for name, table in tables.items():
        if name not in SECTIONS:
            kind = "section" if isinstance(table, dict) else "key"
            raise _unknown(f"Unknown {kind} {_shown(name)} in {file}.", name, SECTIONS)
        _read_section(file, name, table, values, sections)
    return values, sections


def _targets(tables: object) -> Mapping[str, object]:
    if not isinstance(tables, dict):
        raise ConfigurationError("targets must be sections.", hint="Write [targets.NAME.database] and so on.")
    return tables


def _read_section(
    file: Path, section: str, table: object, values: dict[tuple[str, str], object], sections: set[str]
) -> None:
    if not isinstance(table, dict):
        raise ConfigurationError(f"{section} in {file} must be a section.", hint=f"Write [{section}]. {_EXAMPLE}")
    sections.add(section)
    for name, value in table.items():
        if f"{section}.{name}" in SECTIONS:
            _read_section(file, f"{section}.{name}", value, values, sections)
        elif key := KEYS.get((section, name)):
            values[section, name] = from_file(key, value, file.parent)
        else:
            known = [each.name for each in KEYS.values() if each.section == section]
            known += [each.removeprefix(f"{section}.") for each in SECTIONS if each.startswith(f"{section}.")]
            raise _unknown(f"Unknown key {_shown(name)} in [{section}] of {file}.", name, known)


def _shown(name: str) -> str:
    """A key's name; anything else may be a secret that slipped into the wrong place."""
    return name if _NAME.fullmatch(name) else "(not shown)"


def _unknown(message: str, name: str, known: Any) -> ConfigurationError:
    near = get_close_matches(name, list(known), 1, cutoff=0.5)
    return ConfigurationError(message, hint=(f"Did you mean {near[0]}? " if near else "") + _EXAMPLE)


def _overrides(environment: Mapping[str, str]) -> tuple[dict[tuple[str, str], object], tuple[str, ...]]:
    """What our own variables say (empty ones say nothing), and warnings about those that look misspelt."""
    variables = {key.variable: key for key in KEYS.values()}
    values: dict[tuple[str, str], object] = {}
    warnings: list[str] = []
    for name, text in environment.items():
        if key := variables.get(name):
            if text:
                values[key.section, key.name] = from_environment(key, text)
            continue
        if not name.startswith("KLEIDIA_") or name in {FILE_VARIABLE, PASSWORD_VARIABLE}:
            continue
        # Only a warning: other parts of a Kleidia installation have variables of this prefix too.
        if near := get_close_matches(name, variables, 1, cutoff=0.85):
            warnings.append(f"The environment variable {name} is not known; did you mean {near[0]}?")
    return values, tuple(warnings)


def _refuse_alternatives(values: Mapping[tuple[str, str], object]) -> None:
    """Of keys that exclude each other, one may be set."""
    chosen: dict[str, Key] = {}
    for each in values:
        key = KEYS[each]
        other = chosen.setdefault(key.group, key)
        if key.group and other.way != key.way:
            raise ConfigurationError(f"{other.where} and {key.where} exclude each other.", hint="Keep one of them.")


def exposed(file: Path | None, values: Mapping[tuple[str, str], object], copies: object = ()) -> tuple[str, ...]:
    """A warning about a file that holds secrets and can be read by everybody."""
    more = {name for each in copies if isinstance(each, dict) for name in each} if isinstance(copies, list) else set()
    secrets = {*values, *(("store", name) for name in more)} & {each for each, key in KEYS.items() if key.secret}
    if file is None or not secrets:
        return ()
    if file.stat().st_mode & stat.S_IROTH:
        return (f"{file} holds secrets and can be read by everybody; chmod 600 {file}",)
    return ()
