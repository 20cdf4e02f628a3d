"""[[copies]]: stores that get a copy of every archive. Each takes the keys of [store], and those of ``CopyRules``.

They are no keys of ``KEYS``: a table of which there are several has no environment variables. What one of them does not
say is not taken from anywhere else; its secrets have files as everywhere (``secret_access_key_file``).
"""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ...pipeline.copies.settings import Copy, CopyRules
from ...stages.errors import ConfigurationError
from ..build import store_settings
from ..keys import KEYS, Key, keys_of
from ..reader import Config
from ..values import from_file, within_limits

if TYPE_CHECKING:
    from ...stages.stores.base import StoreSettings

#: Most copies that there can be.
MOST = 16


def copies_of(config: Config, store: StoreSettings | None = None) -> tuple[Copy, ...]:
    """The copies that are configured, in their order; none of them may be ``store`` itself.

    Raises ``ConfigurationError``.
    """
    made: list[Copy] = []
    file, tables = config.copies
    # What several targets share has a folder for each, as the first store has.
    folder = f"{config.target}/" if config.target and "copies" not in config.own else ""
    if not isinstance(tables, list | tuple) or len(tables) > MOST:
        raise ConfigurationError(
            f"copies must be at most {MOST} tables.", hint="Write [[copies]] once for each store that gets copies."
        )
    taken = {} if store is None else {(store.place, store.prefix): "the first store"}
    for number, table in enumerate(tables, 1):
        try:
            copy = _copy(number, table, file, folder)
        except ConfigurationError as exc:
            exc.message = f"Copy {number} of [[copies]]: {exc.message}"
            raise
        place = copy.store.place, copy.store.prefix
        if place in taken:
            raise ConfigurationError(
                f"Copy {number} of [[copies]] is in the same place as {taken[place]}.",
                hint="Give it a bucket, a directory or a prefix of its own; best is another machine.",
            )
        if copy.name in {each.name for each in made}:
            raise ConfigurationError(f"Copy {number} of [[copies]] has a name that is taken.", hint="Change its name.")
        taken[place] = f"copy {number}"
        made.append(copy)
    return tuple(made)


@cache
def copy_keys() -> dict[str, Key]:
    """Every key of [[copies]]."""
    own = [*keys_of(CopyRules, "copies"), *(key for (section, _), key in KEYS.items() if section == "store")]
    return {key.name: replace(key, section="[copies]", standard=()) for key in own}


def _copy(number: int, table: object, file: Path | None, folder: str) -> Copy:
    if not isinstance(table, dict):
        raise ConfigurationError("It must be a table.", hint="Write [[copies]], and its keys below.")
    keys, rules = copy_keys(), {key.name for key in keys_of(CopyRules, "copies")}
    values: dict[tuple[str, str], object] = {}
    own: dict[str, object] = {}
    for name, value in table.items():
        key = keys.get(name)
        if key is None:
            near = get_close_matches(name, keys, 1, cutoff=0.5)
            raise ConfigurationError(
                "It has a key that is not known.",
                hint=f"Did you mean {near[0]}?"
                if near
                else "It takes the keys of [store]; docs/copies.md has the rest.",
            )
        read = within_limits(key, from_file(key, value, file.parent if file else Path()))
        if name in rules:
            own[name] = read
        else:
            values["store", name] = read
    store = store_settings(Config(file, frozenset({"store"}), (), values, {}))
    store = replace(store, prefix=store.prefix + folder)
    named = str(own.pop("name", "") or f"copy-{number}")
    return Copy(number=number, name=named, store=store, **own)  # type: ignore[arg-type]  # by the keys' kinds
