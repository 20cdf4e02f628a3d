"""The roles that an archive names, made on a server that ends with the drill. Blocking; called in a thread."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from ..server.connect import connect

if TYPE_CHECKING:
    from ..server.settings import PostgresSettings


def make_roles(settings: PostgresSettings, names: Iterable[str]) -> None:
    """Make these roles, without login or rights. Raises as ``connect``."""
    with connect(settings) as connection:
        for name in names:
            # One that is there, or a word such as CURRENT_USER that stands for a role.
            with suppress(psycopg.errors.DuplicateObject, psycopg.errors.ReservedName):
                connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(name)))
