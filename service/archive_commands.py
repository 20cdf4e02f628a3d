"""What is done with archives as a whole: list, inspect, delete, download, and a URL for one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ..pipeline import archives
from ..pipeline.opening import full_name
from . import tables, words
from .ask import confirm

if TYPE_CHECKING:
    from .commands import Invocation


def list_(invocation: Invocation) -> int:
    """List the archives, newest first."""
    store = invocation.store
    found = invocation.job(lambda _: archives.list_archives(store))
    return invocation.terminal.result({"archives": found}, [tables.archives(found)])


def inspect(invocation: Invocation) -> int:
    """Show an archive's clear-text header, by one ranged read."""
    store, name = invocation.store, invocation.arguments.name
    info, preamble = invocation.job(lambda _: archives.inspect(name, store))
    header = preamble.header
    pairs = {
        "size": words.size(info.size),
        "stored": words.moment(info.modified),
        "format": f"V{header.version}",
        **tables.contents(header),
        tables.SHA256: header.checksum,
        "note": "Nothing of this is proved before `kleidia-backup verify`.",
    }
    values = {"name": info.name, "size": info.size, "modified": info.modified, "header": header}
    return invocation.terminal.result(values, [tables.facts(info.name, pairs)])


def delete(invocation: Invocation) -> int:
    """Remove an archive, after asking."""
    store, given = invocation.store, invocation.arguments
    name = full_name(store, given.name)
    if not given.yes:  # nobody is asked about what is refused, or not there
        invocation.stopper.run(lambda: archives.find(given.name, store))
        confirm(f"{words.printable(name)} will be deleted. This cannot be undone.", yes=False)
    invocation.job(lambda _: archives.delete(given.name, store))
    return invocation.terminal.result({"name": name, "deleted": True}, [f"{words.printable(name)} is deleted."])


def download(invocation: Invocation) -> int:
    """Copy an archive into a file."""
    store, given = invocation.store, invocation.arguments
    size = invocation.job(
        lambda on_progress: archives.download(
            given.name, given.file, store, on_progress=on_progress, **invocation.timeout
        ),
        "downloading",
    )
    values = {"name": full_name(store, given.name), "file": given.file, "size": size}
    return invocation.terminal.result(values, [f"{words.printable(given.file)}: {words.size(size)}, still encrypted."])


def url(invocation: Invocation) -> int:
    """Print a URL that anybody can download the (encrypted) archive from for an hour."""
    store, given = invocation.store, invocation.arguments
    found = invocation.job(lambda _: archives.presign(given.name, store))
    name = full_name(store, given.name)
    values = {"name": name, "url": found, "expires_at": datetime.now(UTC) + archives.URL_EXPIRES}
    return invocation.terminal.result(values, [found])
