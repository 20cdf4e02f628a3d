"""What a restore of some tables is asked for, really or dry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...stages.errors import ConfigurationError
from ...stages.pg.server.settings import Table
from ..parts.keys import check_reading
from ..parts.request import Request

if TYPE_CHECKING:
    from ..parts.request import BackupRequest


@dataclass(frozen=True, kw_only=True)
class TablesRequest(Request):
    """What ``restore_tables`` is asked for, which explains each. Raises ``ConfigurationError``."""

    name: str
    tables: tuple[str, ...]
    copy: str = ""
    search_path: tuple[str, ...] = ()
    system: str = ""
    from_other_system: bool = False
    backup_first: BackupRequest | None = None

    def __post_init__(self) -> None:
        check_reading(self.password, self.keys)
        if not self.tables:
            raise ConfigurationError("No table is named.", hint="Name one, as the archive has it.")
        for each in self.tables:
            Table.parse(each)
        if self.copy and len(self.tables) > 1:
            raise ConfigurationError("A copy has one name, and several tables are asked for.", hint="Name one table.")
        if self.copy:
            Table.parse(self.copy)

    def copy_of(self, tables: Sequence[Table]) -> Table | None:
        """The name of the copy of the first of ``tables``; without a schema it is in that of its table."""
        if not self.copy:
            return None
        name = Table.parse(self.copy)
        return name if name.schema else Table(tables[0].schema, name.name)
