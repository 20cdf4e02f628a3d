"""A second look at a chunk of secrets of format V2, by Python's JSON and section 7 of the page."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from .second_index import Open, depth, no

_WHOLE = re.compile("-?(0|[1-9][0-9]{0,16})")
_METADATA = {
    "custom_metadata": dict,
    "max_versions": int,
    "cas_required": bool,
    "metadata_cas_required": bool,
    "delete_version_after": str,
    "partial": bool,
}


class Number(str):
    """A number as it is written."""

    __slots__ = ()


class Twice(dict[str, Any]):
    """An object in which a member stands twice."""


def loads(text: bytes) -> Any:
    """JSON with numbers as they are written. Raises ``Refused``; ``Open`` for what is too deep for Python's."""

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return dict(pairs) if len(dict(pairs)) == len(pairs) else Twice(pairs)

    try:
        return json.loads(
            text.decode(), parse_constant=no, parse_float=Number, parse_int=Number, object_pairs_hook=members
        )
    except RecursionError:
        raise Open from None
    except ValueError as exc:
        no(str(exc))


def secrets(data: bytes) -> Iterator[dict[str, Any]]:
    """The members of each line. Raises ``Refused``, and ``Open``."""
    lines = data.split(b"\n")
    if lines.pop():
        no("a line without its end")
    for line in lines:
        found = loads(line)
        if not isinstance(found, dict) or isinstance(found, Twice):
            no("no secret")
        if ("value" in found) == ("newest" in found) or not isinstance(found.get("value", {}), dict):
            no("no value, and no reason, or both")
        path = found.get("path")
        if type(path) is not str or not path or any(map(_halves, (path, *found))):
            no("no path")
        if "metadata" in found:
            _metadata(found["metadata"])
        if "newest" in found:
            _newest(found)
        elif "versions" in found:
            _versions(found)
        yield found


def _halves(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _whole(value: object) -> int:
    if type(value) is not Number or not _WHOLE.fullmatch(value) or not 0 <= int(value) <= 2**53:
        no("a number")
    return int(value)


def _strictly(value: object) -> None:
    """The rules of section 3, for all that is inside."""
    if type(value) is Number:
        if not _WHOLE.fullmatch(value) or abs(int(value)) > 2**53:
            no("a number")
    elif isinstance(value, str):
        _ = _halves(value) and no("half of a pair")
    elif isinstance(value, dict):
        if isinstance(value, Twice):
            no("a member twice")
        for each in (*value, *value.values()):
            _strictly(each)
    elif isinstance(value, list):
        for each in value:
            _strictly(each)


def _metadata(found: Any) -> None:
    _strictly(found)
    if not isinstance(found, dict) or depth(found) > 64:
        no("metadata")
    for name, kind in _METADATA.items():
        if name not in found:
            continue
        value = found[name]
        if kind is int:
            _whole(value)
        elif type(value) is not kind or (
            isinstance(value, dict) and not all(type(text) is str for text in value.values())
        ):
            no(name)


def _newest(found: dict[str, Any]) -> None:
    """What stands in the place of a value."""
    newest = found["newest"]
    if type(newest) is not str or newest not in ("deleted", "destroyed", "none"):
        no("newest")
    if newest != "none":
        _versions({"versions": []} | found)
    elif found.keys() & {"version", "versions"}:
        no("versions of a key that has none")


def _versions(found: dict[str, Any]) -> None:
    above = _whole(found.get("version"))
    _whole(found.get("oldest", Number("0")))
    if not isinstance(found["versions"], list):
        no("versions")
    below = 0
    for each in found["versions"]:
        if not isinstance(each, dict) or isinstance(each, Twice) or any(map(_halves, each)):
            no("a version")
        number = _whole(each.get("version"))
        states = [each[name] for name in ("deleted", "destroyed") if name in each]
        if not all(type(state) is bool for state in states) or states.count(True) == 2:
            raise Open
        if not below < number < above or ("value" in each) == (True in states):
            no("the order, or the value")
        if "value" in each and not isinstance(each["value"], dict):
            no("a value")
        below = number
    if not below < above:
        no("the newest")
