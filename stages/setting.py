"""How a setting is declared: on the field of the frozen class that has it, once.

``workers: Annotated[int, Setting("Requests at the same time, at most.", least=1, most=128)] = 20``

From the field's name, type and default and from this come the key of the configuration file, its environment variable,
the printed example, the checks and the API's models; ``config/keys.py`` derives them. It lies here, and imports nothing
but the errors, because the stages' own settings are declared with it.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, MISSING, dataclass, fields
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from .errors import ConfigurationError

#: How a value is read, by its type; a number with a fraction is always a time.
_KINDS = {str: "text", int: "integer", bool: "boolean", float: "seconds", Path: "path"}
_LISTS: dict[Any, str] = {str: "names", Path: "paths"}


@dataclass(frozen=True, slots=True)
class Setting:
    """What a field's name, type and default do not say.

    doc: what it does, for operators; a whole sentence. The limits are added to it.
    example: shown where the field has no default, or one that shows nothing.
    section, name: where the key is, if not in its class's section under the field's name.
    kind: how it is read, where the type does not say that: ``size`` (bytes), ``program``, ``path``, ``text``.
    least, most: limits, included. Without ``least`` a time or a size is above zero.
    pattern, must: what the API takes as a new value, and that in words.
    secret: never shown. ``file``: ``name_file`` names a file that holds it instead; a secret always has that.
    shown: set in the printed example, where others are commented out.
    group, alternative: of the keys with one group only those of one alternative (the key's name) may be set.
    standard: variables that other tools read too. They count only where neither our own variable nor the file says
        anything, so that a stray ``VAULT_ADDR`` never sends a restore to another vault than the file names.
    configured: False for what only programs set.
    """

    doc: str
    example: object = None
    _: KW_ONLY
    section: str = ""
    name: str = ""
    kind: str = ""
    least: float | None = None
    most: float | None = None
    pattern: str = ""
    must: str = ""
    secret: bool = False
    file: bool = False
    shown: bool = False
    group: str = ""
    alternative: str = ""
    standard: tuple[str, ...] = ()
    configured: bool = True


class Declared(NamedTuple):
    """One setting of a class: the field, how it is read, what it may be, its default (None: there is none)."""

    field: str
    kind: str
    choices: tuple[str, ...]
    default: Any
    setting: Setting

    @property
    def limits(self) -> str:
        """The limits of a number in words; empty when there are none."""
        least, most = self.setting.least, self.setting.most
        if least is not None and most is not None:
            return f"from {least} to {most}"
        low = f"at least {least}" if least is not None else "above zero" if self.kind in {"seconds", "size"} else ""
        return ", ".join(filter(None, (low, "" if most is None else f"at most {most}")))

    def allows(self, value: float) -> bool:
        """Whether a number is within the limits."""
        least, most = self.setting.least, self.setting.most
        positive = value > 0 if least is None and self.kind in {"seconds", "size"} else True
        return positive and (least is None or least <= value) and (most is None or value <= most)


@cache
def declared(owner: Any) -> tuple[Declared, ...]:
    """The settings that a class declares, in its order."""
    hints = get_type_hints(owner, include_extras=True)
    return tuple(
        _declared(field.name, hints[field.name], None if field.default is MISSING else field.default, each)
        for field in fields(owner)
        for each in getattr(hints[field.name], "__metadata__", ())
        if isinstance(each, Setting)
    )


def _declared(name: str, hint: Any, default: object, setting: Setting) -> Declared:
    base = hint.__origin__
    if get_origin(base) in {Union, UnionType}:
        base = get_args(base)[0]  # the other is None
    choices = get_args(base) if get_origin(base) is Literal else ()
    listed = _LISTS.get(next(iter(get_args(base)), None), "roots")
    kind = listed if get_origin(base) is tuple else _KINDS.get(base, "text")
    return Declared(name, setting.kind or kind, choices, default, setting)


def check_limits(settings: Any) -> None:
    """Refuse numbers that their declaration does not allow. Raises ``ConfigurationError``."""
    for each in declared(settings.__class__):
        value = getattr(settings, each.field)
        if type(value) in {int, float} and not each.allows(value):
            unit = " seconds" if each.kind == "seconds" else ""
            raise ConfigurationError(f"{each.field} cannot be {value:g}{unit}.", hint=f"It must be {each.limits}.")
