"""One configured value: what the file or an environment variable says, as the type that its key has.

Messages name the key and never the value, which may be a secret that slipped into the wrong line.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..stages.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from .config_keys import Key

_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)
_TIME = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?", re.IGNORECASE)
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
    if key.kind in {"integer", "boolean"}:
        value = _scalar(text)
    elif key.kind == "names":
        value = [name.strip() for name in text.split(",") if name.strip()]
    elif key.kind == "roots":
        try:
            value = json.loads(text)
        except ValueError:
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
    expected, read = _KINDS[key.kind]
    try:
        result = read(value, directory)
    except (ValueError, TypeError, OverflowError, RuntimeError):  # RuntimeError: ~ of an unknown user
        result = None
    if result is None or (key.choices and result not in key.choices):
        what = " or ".join(f'"{choice}"' for choice in key.choices) or expected
        raise ConfigurationError(f"The value of {where} cannot be used: it must be {what}.", hint=key.doc)
    return result


def _text(value: object, _: Path) -> str | None:
    return value if isinstance(value, str) and "\0" not in value else None


def _integer(value: object, _: Path) -> int | None:
    return value if type(value) is int else None


def _boolean(value: object, _: Path) -> bool | None:
    if isinstance(value, int) and value in (0, 1):
        return bool(value)
    return None


def _seconds(value: object, _: Path) -> float | None:
    if isinstance(value, str) and value.strip() and (match := _TIME.fullmatch(value.replace(" ", ""))):
        hours, minutes, seconds = (float(part or 0) for part in match.groups())
        value = hours * 3600 + minutes * 60 + seconds
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < float("inf"):
        return float(value)
    return None


def _size(value: object, _: Path) -> int | None:
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        value = int(float(match.group(1)) * _UNITS[match.group(2).lower()])
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _path(value: object, directory: Path) -> Path | None:
    text = _text(value, directory)
    return directory / Path(text).expanduser() if text else None


def _program(value: object, directory: Path) -> str | None:
    text = _text(value, directory)
    if text and ("/" in text or text.startswith("~")):
        return str(directory.absolute() / Path(text).expanduser())
    return text or None


def _names(value: object, _: Path) -> tuple[str, ...] | None:
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return tuple(value)
    return None


def _roots(value: object, _: Path) -> tuple[dict[str, Any], ...] | None:
    if not isinstance(value, list):
        return None
    for root in value:
        if not isinstance(root, dict) or not {"mount"} <= root.keys() <= {"prefix", "mount", "path", "kv_version"}:
            return None
        texts = all(isinstance(root.get(name, ""), str) for name in ("prefix", "mount", "path"))
        if not texts or type(root.get("kv_version", 1)) is not int:
            return None
    return tuple(value)


_KINDS: dict[str, tuple[str, Callable[[Any, Path], object]]] = {
    "text": ("a text", _text),
    "integer": ("a whole number", _integer),
    "boolean": ("true or false", _boolean),
    "seconds": ('a number of seconds above zero, or a text such as "90s", "30m" or "2h"', _seconds),
    "size": ('a number of bytes above zero, or a text such as "16MiB"', _size),
    "path": ("a path", _path),
    "program": ("the path or the name of a program", _program),
    "names": ("a list of names", _names),
    "roots": ("a list of tables with mount, and maybe prefix, path and kv_version", _roots),
}
