"""Every harness by its name: the module that has it, and the modules whose coverage leads its search."""

from __future__ import annotations

from importlib import import_module
from typing import NamedTuple

from .harness import Harness

_FORMATS = "kleidia_backup.formats"
_V1 = (_FORMATS, "kleidia_backup.stages.archive.split", "kleidia_backup.pipeline.archives.v1")
_V2 = (_FORMATS, "kleidia_backup.stages.archive", "kleidia_backup.pipeline.archives.v2")


class Place(NamedTuple):
    """Where a harness is. A search imports no other module, so that it instruments no more than these.

    ``runs`` are the executions of the short search: a number and no time, so that it is the same on every machine.
    ``minute`` are those of a guided one that takes about a minute.
    """

    module: str
    instrument: tuple[str, ...]
    runs: int
    minute: int


PLACES = {
    "gzip": Place("gzip_stream", (f"{_FORMATS}.codecs.gzip",), 40_000, 650_000),
    "v1-header": Place("archives_v1", (f"{_FORMATS}.v1", f"{_FORMATS}.facts", f"{_FORMATS}.json"), 100_000, 6_000_000),
    "v1": Place("archives_v1", _V1, 8_000, 140_000),
    "recover-v1": Place("archives_v1", (f"{_FORMATS}.v1.recover",), 12_000, 250_000),
    "v2-head": Place(
        "heads", tuple(f"{_FORMATS}.{name}" for name in ("v2.head", "v2.facts", "v2.keys", "json")), 100_000, 1_300_000
    ),
    "v2-index": Place(
        "index", tuple(f"{_FORMATS}.{name}" for name in ("v2.index", "v2.entries", "json", "sql")), 60_000, 850_000
    ),
    "v2-kv": Place("secrets", (f"{_FORMATS}.v2.kv", f"{_FORMATS}.json"), 100_000, 1_400_000),
    "v2": Place("archives_v2", _V2, 3_000, 35_000),
    "recover-v2": Place("archives_v2", (f"{_FORMATS}.v2.recover",), 4_000, 55_000),
    "sql": Place("sql", (f"{_FORMATS}.sql", f"{_FORMATS}.v2.chunks", "kleidia_backup.stages.pg"), 3_000, 39_000),
    "csv": Place("sql", (f"{_FORMATS}.sql.csv",), 80_000, 630_000),
    "write-read": Place("write_read", (_FORMATS,), 1_000, 28_000),
    "json": Place("json_text", (f"{_FORMATS}.json",), 60_000, 700_000),
    "cron": Place("cron", ("kleidia_backup.service.control.cron", "cronsim"), 60_000, 700_000),
    "config": Place(
        "configuration",
        ("kleidia_backup.config", "kleidia_backup.stages.pg.server", "kleidia_backup.stages"),
        8_000,
        140_000,
    ),
    "journal": Place("journal", ("kleidia_backup.stages.vault.undo",), 50_000, 580_000),
    "api": Place(
        "api",
        ("kleidia_backup.service", "kleidia_backup.stages.stores", "kleidia_backup.stages.setting"),
        100_000,
        7_000_000,
    ),
    "token": Place("tokens", ("kleidia_backup.service.api.identity", "jwt"), 100_000, 1_200_000),
    "texts": Place(
        "texts", (_FORMATS, "kleidia_backup.stages", "kleidia_backup.service.api.identity", "jwt"), 100_000, 3_400_000
    ),
}
#: Only for who names it.
PLANTED = {"planted": Place("planted", (f"{_FORMATS}.json",), 1_000, 100_000)}


def place(name: str) -> Place:
    """Where one of them is. Raises ``KeyError``."""
    return (PLACES | PLANTED)[name]


def harness(name: str) -> Harness:
    """One of them. Raises ``KeyError``."""
    found: dict[str, Harness] = import_module(f".harnesses.{place(name).module}", __package__).HARNESSES
    return found[name]
