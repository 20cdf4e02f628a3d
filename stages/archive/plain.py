"""The stages that make an archive's SQL and secrets plain, for what writes them again. They run on asyncio and trio."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...formats.secret import Secret
from ...formats.sql.pieces import Rows
from ...pipeline.engine import MAX_CHUNK, Inlet, Outlet, cut

if TYPE_CHECKING:
    from ...formats.sql.pieces import Text


class PlainSql:
    """SQL in pieces of any size, rows apart, to chunks of text."""

    name = "text"
    #: Bytes: the chunk that is cut off.
    working_set = MAX_CHUNK

    async def __call__(self, sql: Inlet[Text], out: Outlet[bytes]) -> None:
        """Cut."""
        async for text in sql:
            for piece in cut(text.data if isinstance(text, Rows) else text):
                await out.send(piece)


class PlainSecrets:
    """Secrets to what an archive of format V1 holds of them: the newest value. The others count what is dropped.

    ``described`` secrets lose metadata, ``without_value`` are left out, ``older`` versions are.
    """

    name = "values"

    def __init__(self) -> None:
        self.described = self.without_value = self.older = 0

    async def __call__(self, secrets: Inlet[Secret], out: Outlet[Secret]) -> None:
        """Drop."""
        while batch := await secrets.batch():
            await out.send_together([Secret(each.path, each.value) for each in batch if self._has_value(each)])

    def _has_value(self, secret: Secret) -> bool:
        self.described += secret.metadata is not None and not secret.metadata.plain
        self.older += len(secret.older)
        self.without_value += secret.gone is not None
        return secret.gone is None
