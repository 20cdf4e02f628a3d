"""One configured value: what the file or an environment variable says, as the type that its key has.

Messages name the key and never the value, which may be a secret that slipped into the wrong line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ..pipeline.drills.asked import DrillCheck
from ..stages.errors import ConfigurationError
from ..stages.words import is_unicode, unicode_of
from .login.grants import grants_from

if TYPE_CHECKING:
    from .keys import Key

_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)
_TIME = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?", re.IGNORECASE)
#: What TOML and JSON decoders take for a whole number, in any program; Python's own have no limit in hexadecimal.
_NUMBERS = range(-(2**63), 2**63)
_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}


def from_file(key: Key, value: object, directory: Path) -> object:
    """A value of the TOML file; relative paths start at the file's ``directory``. Raises ``ConfigurationError``."""
    return _checked(key, value, directory, key.where)


def from_environment(key: Key, text: str, variable: str = "") -> object:
    """A value of an environment variable (the key's own, unless named); relative paths start where we run.

    Raises ``ConfigurationError``.
    """
    variable = variable or key.variable
    value: object = text
    if key.kind not in {"path", "paths", "program"}:  # files are called by bytes
        # What is no text is refused below, as in a file.
        value = text = unicode_of(text) or text
    if key.kind in {"integer", "boolean", "versions"}:
        value = _scalar(text)
    elif key.kind in {"names", "paths"}:
        value = [name.strip() for name in text.split(",") if name.strip()]
    elif key.kind in {"roots", "checks", "grants"}:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = None
    if key.kind == "integer" and text.startswith("tcp://"):
        raise ConfigurationError(
            f"The environment variable {variable} holds a URL where a number is expected.",
            hint="Kubernetes sets it for a service of that name: set enableServiceLinks: false in the pod.",
        )
    return _checked(key, value, Path(), f"the environment variable {variable}")


def _scalar(text: str) -> object:
    """What a text would be in the file, as far as it is a number or a yes or no."""
    if text.lower() in _TRUE | _FALSE and not text.isdigit():
        return text.lower() in _TRUE
    try:
        return int(text)
    except ValueError:
        return text


def _checked(key: Key, value: object, directory: Path, where: str) -> object:
    _, read = _KINDS[key.kind]
    try:
        result = read(value, directory)
    except (ValueError, TypeError, OverflowError, RuntimeError):  # RuntimeError: ~ of an unknown user
        result = None
    if result is None or (key.choices and result not in key.choices):
        raise _unusable(where, key)
    # What is no time or size at all is refused here; limits of its own only where it is used (``within_limits``).
    if key.kind in {"seconds", "size"} and key.of.setting.least is None:
        within_limits(key, result, where)
    return result


def within_limits(key: Key, value: object, where: str = "") -> object:
    """The value, when it is within the limits that are declared. Raises ``ConfigurationError``."""
    if type(value) in {int, float} and not key.of.allows(cast("float", value)):
        raise _unusable(where or key.where, key)
    return value


def _unusable(where: str, key: Key) -> ConfigurationError:
    limits = key.of.limits and f" {key.of.limits}"
    what = " or ".join(f'"{choice}"' for choice in key.choices) or _KINDS[key.kind][0].format(limits)
    return ConfigurationError(f"The value of {where} cannot be used: it must be {what}.", hint=key.doc)


def _text(value: object, _: Path) -> str | None:
    return value if isinstance(value, str) and "\0" not in value and is_unicode(value) else None


def _file_name(value: object) -> str | None:
    return value if isinstance(value, str) and "\0" not in value else None


def _integer(value: object, _: Path) -> int | None:
    return value if type(value) is int and value in _NUMBERS else None


def _versions(value: object, _: Path) -> int | None:
    return 0 if value == "all" else _integer(value, _)


def _boolean(value: object, _: Path) -> bool | None:
    if isinstance(value, int) and value in (0, 1):
        return bool(value)
    return None


def _seconds(value: object, _: Path) -> float | None:
    if isinstance(value, str) and value.strip() and (match := _TIME.fullmatch(value.replace(" ", ""))):
        hours, minutes, seconds = (float(part or 0) for part in match.groups())
        value = hours * 3600 + minutes * 60 + seconds
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value < float("inf"):
        return float(value)
    return None


def _size(value: object, _: Path) -> int | None:
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        value = int(float(match.group(1)) * _UNITS[match.group(2).lower()])
    return _integer(value, _)


def _path(value: object, directory: Path) -> Path | None:
    text = _file_name(value)
    return directory / Path(text).expanduser() if text else None


def _program(value: object, directory: Path) -> str | None:
    text = _file_name(value)
    if text and ("/" in text or text.startswith("~")):
        return str(directory.absolute() / Path(text).expanduser())
    return text or None


def _names(value: object, directory: Path) -> tuple[str, ...] | None:
    if isinstance(value, list) and all(_text(name, directory) is not None for name in value):
        return tuple(value)
    return None


def _paths(value: object, directory: Path) -> tuple[Path, ...] | None:
    if not isinstance(value, list):
        return None
    paths = [_path(name, directory) for name in value]
    return None if None in paths else tuple(filter(None, paths))


_OF_A_ROOT = {"prefix", "mount", "path", "kv_version", "allow_empty"}


def _roots(value: object, directory: Path) -> tuple[dict[str, Any], ...] | None:
    if not isinstance(value, list):
        return None
    for root in value:
        if not isinstance(root, dict) or not {"mount"} <= root.keys() <= _OF_A_ROOT:
            return None
        texts = all(_text(root.get(name, ""), directory) is not None for name in ("prefix", "mount", "path"))
        if not texts or _integer(root.get("kv_version", 1), directory) is None:
            return None
        if type(root.get("allow_empty", False)) is not bool:
            return None
    return tuple(value)


def _checks(value: object, _: Path) -> tuple[DrillCheck, ...] | None:
    if not isinstance(value, list):
        return None
    found = []
    for each in value:
        if not isinstance(each, dict) or not {"name"} <= each.keys() <= {"name", "sql", "expect", "secret"}:
            return None
        texts = {name: _scalar_text(said) for name, said in each.items()}
        if None in texts.values():
            return None
        found.append(DrillCheck(**{name: text or "" for name, text in texts.items()}))
    return tuple(found)


def _grants(value: object, _: Path) -> object:
    return grants_from(value)


def _scalar_text(value: object) -> str | None:
    """A text, a number or a truth value as text; what is expected may be written as any."""
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value) if isinstance(value, (str, int, float)) else None
    return text if text is not None and is_unicode(text) else None


_KINDS: dict[str, tuple[str, Callable[[Any, Path], object]]] = {
    "text": ("a text, in UTF-8", _text),
    "integer": ("a whole number{}", _integer),
    "versions": ('a whole number, or "all"', _versions),
    "boolean": ("true or false", _boolean),
    "seconds": ('a number of seconds{}, or a text such as "90s", "30m" or "2h"', _seconds),
    "size": ('a number of bytes{}, or a text such as "16MiB"', _size),
    "path": ("a path", _path),
    "program": ("the path or the name of a program", _program),
    "names": ("a list of names", _names),
    "paths": ("a list of paths", _paths),
    "roots": ("a list of tables with mount, and maybe prefix, path, kv_version and allow_empty", _roots),
    "grants": ("a list of tables with of, role (viewer, operator or admin), and maybe targets", _grants),
    "checks": ("a list of tables with name, and sql and expect, or secret", _checks),
}
