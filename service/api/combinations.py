"""What a restore cannot be asked for together: refused before there is a job, by the names of the fields."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...stages.errors import ConfigurationError
from ...stages.pg.server.settings import Table
from .problems import ApiError, InvalidField

if TYPE_CHECKING:
    from .models import Restore


def check(wanted: Restore) -> None:
    """Raise ``ApiError`` (422) with every field that cannot be used beside the others."""
    found = [InvalidField(field=f"body.{name}", message=message) for name, message in _refused(wanted)]
    if found:
        names = ", ".join(dict.fromkeys(each.field for each in found))
        raise ApiError(
            422,
            "invalid",
            "A part of the request cannot be used",
            f"Not usable: {names}.",
            "Correct what is named; /docs shows what is expected.",
            invalid=[each.model_dump() for each in found],
        )


def _refused(wanted: Restore) -> Iterator[tuple[str, str]]:
    """Names of fields, and what is wrong with them; no sentence repeats what was sent."""
    if wanted.tables:
        others = {
            "secrets": wanted.secrets,
            "to": wanted.to,
            "only": wanted.only,
            "prune": wanted.prune,
            "into_mount": wanted.into_mount,
            "create_database": wanted.create_database,
            "fresh": wanted.fresh,
        }
        for name, value in others.items():
            if value:
                yield name, "Tables are restored alone, without this."
        yield from _unnamed("tables", wanted.tables)
    elif wanted.secrets:
        if wanted.only == "database":
            yield "only", "Chosen secrets are restored alone: the database is left as it is."
        if wanted.prune:
            yield "prune", "Chosen secrets are restored alone: nothing is removed."
        if wanted.fresh:
            yield "fresh", "It restores a whole archive, or one part of it: without secrets."
    if wanted.policies and not wanted.fresh:
        yield "policies", "It needs fresh."
    if wanted.to is not None and len(wanted.secrets) != 1 and not wanted.tables:
        yield "to", "It needs secrets with one path."
    if wanted.copy_as is not None:
        if len(wanted.tables) != 1:
            yield "as", "It needs tables with one name."
        yield from _unnamed("as", [wanted.copy_as])


def _unnamed(field: str, names: list[str]) -> Iterator[tuple[str, str]]:
    for name in names:
        try:
            Table.parse(name)
        except ConfigurationError:
            yield field, 'Names are written as table or schema.table, with "double quotes" where SQL needs them.'
