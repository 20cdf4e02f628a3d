"""What is done with archives as a whole: list, inspect, delete, download, and a URL for one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ..formats.v2.head import Head
from ..pipeline.archives import actions as archives
from ..pipeline.archives.contents import INDEXED, contents, no_index
from ..pipeline.archives.listing import page_of_archives
from ..pipeline.archives.opening import full_name
from ..pipeline.copies.deleting import delete_copies
from ..pipeline.copies.listed import with_copies
from ..pipeline.reports import words
from ..pipeline.retention.uploads import list_uploads
from .console import archive_list, tables
from .console.ask import confirm
from .console.exit_codes import WARNINGS
from .console.slot_words import slots_json, who_opens
from .records.history import Entry
from .records.recorded import with_records

if TYPE_CHECKING:
    from ..formats.facts import Facts
    from ..pipeline.archives.listing import Page
    from ..pipeline.reports.contents import ArchiveContents
    from .invocation import Invocation


def list_(invocation: Invocation) -> int:
    """List a page of the archives, newest first; or what was begun and is not finished."""
    store, given = invocation.store, invocation.arguments
    if given.uploads:
        left = invocation.job(lambda _: list_uploads(store, limit=invocation.limits.job_timeout))
        return invocation.terminal.result({"uploads": left}, archive_list.unfinished(left))

    async def listed() -> Page:
        found = await page_of_archives(
            store, limit=given.limit, offset=given.offset, backup_type=given.type, since=given.since
        )
        lines = await with_records(invocation, found.archives)
        if given.from_copy or given.as_of or not invocation.copies:
            return replace(found, archives=lines)
        lines, warnings = await with_copies(lines, invocation.copies, store.prefix)
        for warning in warnings:
            invocation.terminal.warn(warning)
        return replace(found, archives=lines)

    found = invocation.job(lambda _: listed())
    values = {"archives": found.archives, "total": found.total, "next": found.next}
    narrowed = bool(given.type or given.since)
    return invocation.terminal.result(values, archive_list.shown(found, narrowed=narrowed))


def inspect(invocation: Invocation) -> int:
    """Show an archive's clear-text header, by one ranged read; with ``--contents`` what its index lists."""
    store, name = invocation.store, invocation.arguments.name
    info, preamble = invocation.job(lambda _: archives.inspect(name, store), last=not invocation.arguments.contents)
    header = preamble.header
    if invocation.arguments.contents:
        return _contents(invocation, info.name, header)
    pairs = {
        "size": words.size(info.size),
        "stored": words.moment(info.modified),
        "format": f"V{header.version}",
        **tables.contents(header),
        **({"system": words.printable(header.system)} if header.system else {}),
        **({tables.SHA256: header.checksum} if header.checksum else {}),
        **(who_opens(preamble) if isinstance(preamble, Head) else {}),
        "note": "Nothing of this is proved before `kleidia-backup verify`.",
    }
    values = {"name": info.name, "size": info.size, "modified": info.modified, "header": header}
    if isinstance(preamble, Head):
        values["slots"] = slots_json(preamble.slots)
    return invocation.terminal.result(values, [tables.facts(info.name, pairs)])


def _contents(invocation: Invocation, name: str, header: Facts) -> int:
    """Show what an archive holds. Nobody is asked for the password of one that cannot say."""
    if header.version < INDEXED:
        raise no_index(name)
    store, keys, password = invocation.store, invocation.keys, invocation.opening_password()
    found: ArchiveContents = invocation.job(
        lambda _: contents(name, store=store, password=password, keys=keys), "reading"
    )
    return invocation.terminal.result(words.as_json(found), tables.listed(found))


def delete(invocation: Invocation) -> int:
    """Remove an archive, after asking."""
    store, given = invocation.store, invocation.arguments
    name = full_name(store, given.name)
    also = " and its copies" if given.copies else ""
    if not given.yes:  # nobody is asked about what is refused, or not there
        invocation.stopper.run(lambda: archives.find(given.name, store))
        confirm(f"{words.printable(name)}{also} will be deleted. This cannot be undone.", yes=False)

    where = f"In the copy {given.from_copy}." if given.from_copy else ""

    async def work() -> None:
        await invocation.history.refuse_used(name, store)
        await archives.delete(given.name, store)

    invocation.job(lambda _: work(), entries=lambda _: [Entry("archive.deleted", name, where)])
    lines, status = [f"{words.printable(name)} is deleted."], 0
    values: dict[str, object] = {"name": name, "deleted": True}
    if given.copies:
        base = name.removeprefix(store.prefix)
        gone, warnings = invocation.stopper.run(lambda: delete_copies(base, invocation.copies))
        values["copies"] = gone
        lines += [f"Its copy in {words.printable(each)} is deleted." for each in gone]
        status = WARNINGS if warnings else 0
        for warning in warnings:
            invocation.terminal.warn(warning)
    elif invocation.copies and not given.from_copy:
        lines.append("Its copies stay as long as their own retention says; --copies removes them too.")
    return invocation.terminal.result(values, lines, status)


def download(invocation: Invocation) -> int:
    """Copy an archive into a file."""
    store, given = invocation.store, invocation.arguments
    size = invocation.job(
        lambda on_progress: archives.download(
            given.name, given.file, store, on_progress=on_progress, timeout=invocation.limits.job_timeout
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
