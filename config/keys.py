"""The keys of the configuration, derived from where the settings are declared (``stages/setting.py``)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import PurePath

from ..stages.setting import Declared, declared
from .sections import SECTIONS

__all__ = ["DECLARED", "KEYS", "SECTIONS", "Key"]


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a section, read as its ``kind`` says (``config/values.py``); ``of`` is what it is derived from.

    ``file``: it names the file that holds what is declared. ``in_file``: there is such a key beside this one, and
    ``Config.secret`` reads both. ``example`` is a TOML literal, ``shown`` where the printed example sets it. Of the
    keys of one ``group`` only those of one ``way`` may be set.
    """

    section: str
    name: str
    kind: str
    of: Declared
    doc: str
    example: str
    shown: bool
    secret: bool
    in_file: bool
    group: str
    way: str
    standard: tuple[str, ...]
    choices: tuple[str, ...]
    file: bool = False

    @property
    def variable(self) -> str:
        """The environment variable that overrides it."""
        return f"KLEIDIA_{self.section.replace('.', '_')}_{self.name}".upper()

    @property
    def where(self) -> str:
        """The key as messages name it."""
        return f"{self.name} in [{self.section}]"


def keys_of(owner: type, section: str) -> Iterator[Key]:
    """The keys of what a class declares, in a section."""
    for each in declared(owner):
        said = each.setting
        if not said.configured:
            continue
        place, name = said.section or section, said.name or each.field
        in_file = said.secret or said.file
        group, way = f"{place}.{name}" if in_file else said.group, said.alternative or name
        about = _doc(each), _example(each), said.shown and not said.secret, said.secret, in_file
        yield (key := Key(place, name, each.kind, each, *about, group, way, said.standard, each.choices))
        if in_file:
            example = f'"/run/secrets/{place.rpartition(".")[2]}-{name.replace("_", "-")}"'
            file = replace(
                key, name=f"{name}_file", way=f"{name}_file", kind="path", doc="", example=example, file=True
            )
            yield replace(file, shown=said.shown and said.secret, secret=False, standard=(), choices=())


def _doc(of: Declared) -> str:
    """What it does, its limits, and its default where the example is another."""
    said = of.setting.doc
    if of.setting.least is not None or of.setting.most is not None:
        said += f" {of.limits.capitalize()}."
    if of.setting.example is not None and of.default not in {None, "", ()}:
        said += f" Without it: {_literal(of.default, of.kind)}."
    return said


def _example(of: Declared) -> str:
    """The example of the declaration, else the default; of tables the printed example has one of its own."""
    if of.kind in {"roots", "checks", "grants"}:
        return ""
    given = of.setting.example
    return _literal(given if given is not None else "…" if of.setting.secret else of.default, of.kind)


def _literal(value: object, kind: str) -> str:
    if isinstance(value, (tuple, bool)):
        return json.dumps(value)
    if isinstance(value, (str, PurePath)):
        return json.dumps(str(value), ensure_ascii=False)
    assert isinstance(value, (int, float)), value
    units = {"seconds": ((3600, "h"), (60, "m")), "size": ((1 << 20, "MiB"),)}.get(kind, ())
    for size, unit in units:
        if value >= 2 * size and value % size == 0:
            return f'"{value // size:g}{unit}"'
    return f"{value:g}"


#: The keys of each class that declares settings, in its order.
DECLARED: dict[type, tuple[Key, ...]] = {
    owner: tuple(keys_of(owner, name)) for name, section in SECTIONS.items() for owner in section.classes
}
#: Every key, by section and name. What several classes declare alike (``mount``, ``prefix``) is one.
KEYS: dict[tuple[str, str], Key] = {}
for _key in (key for keys in DECLARED.values() for key in keys):
    KEYS.setdefault((_key.section, _key.name), _key)
