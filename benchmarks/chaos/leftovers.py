"""What a killed command may leave, for how long, and what it may not."""

from __future__ import annotations

import time
from pathlib import Path

import psutil

from .commands import Wrong
from .place import Place, Store, scratch_databases, scratch_mounts

#: Seconds in which the children of a killed command end: nobody tells them to, their pipes do.
ENDING = 30.0
_SESSIONS = """
SELECT pid, application_name, query FROM pg_stat_activity
WHERE datname = %s AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
#: Whoever is in a scratch database: a killed drill's statement that the server still runs, or a worker of its own.
_SCRATCH = "SELECT pid, datname, backend_type FROM pg_stat_activity WHERE datname LIKE 'kleidia_scratch_%'"
_LOCKS = """
SELECT locktype, objid, pid FROM pg_locks JOIN pg_database d ON d.oid = database
WHERE locktype = 'advisory' AND datname = %s AND pid <> pg_backend_pid()
"""


def processes_ended(place: Place) -> None:
    """Wait until no process of the command is there, and no session of it. Raises ``Wrong``."""
    named = (f"dbname={place.site.database.name}", str(place.commands.temporary))

    def ours() -> list[int]:
        found = psutil.process_iter(["cmdline"])
        return [each.pid for each in found if any(name in " ".join(each.info["cmdline"] or ()) for name in named)]

    _wait("processes", ours)
    look, name = place.site.database.look, place.site.database.name
    _wait("sessions", lambda: look.execute(_SESSIONS, (name,)).fetchall())
    _wait("sessions of scratch databases", lambda: look.execute(_SCRATCH).fetchall())
    _wait("advisory locks", lambda: look.execute(_LOCKS, (name,)).fetchall())


def _wait(what: str, left: object) -> None:
    assert callable(left)
    end = time.monotonic() + ENDING
    while found := left():
        if time.monotonic() > end:
            raise Wrong(f"{what} are left: {found}")
        time.sleep(0.02)


def gone(place: Place) -> None:
    """What a killed drill has left is known by its name."""
    for name in temporary_files(place):
        if not name.startswith("kleidia-drill-"):
            raise Wrong(f"it left {name} among the temporary files")


def nothing_left(place: Place, store: Store) -> None:
    """After the next command nothing is there that a kill can leave. Raises ``Wrong``."""
    processes_ended(place)
    found = {
        "temporary files": temporary_files(place),
        "unfinished uploads": place.unfinished(store),
        "files of a state": [name for name in _names(place.state) if name not in {"restore.lock", "drills"}],
        "files of reports": [
            name for name in _names(place.state / "drills") if not name.endswith((".json", ".html", ".lock"))
        ],
        "scratch databases": scratch_databases(place),
        "scratch mounts": scratch_mounts(place),
    }
    if any(found.values()):
        raise Wrong("; ".join(f"{what}: {names}" for what, names in found.items() if names))


def temporary_files(place: Place) -> list[str]:
    """What lies where the command keeps temporary files."""
    return _names(place.commands.temporary)


def _names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir()) if directory.is_dir() else []
