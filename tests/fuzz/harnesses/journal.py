"""The journal of a restore: any file is read, or refused as what it is; the end of one may be missing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from kleidia_backup.stages.errors import ConfigurationError
from kleidia_backup.stages.vault.undo import journal as journals
from kleidia_backup.stages.vault.undo import journal_files as files
from kleidia_backup.stages.vault.undo.journal_records import Entry, JournalHeader, Write, Wrote

from ..harness import Finding, Harness, expect_same, words
from ..room import room


def one(data: bytes) -> None:
    """A file as it lies there."""
    directory = room("journal")
    path = directory / files.JOURNAL
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    path.chmod(0o600)
    try:
        found = journals.unfinished(directory)
    except ConfigurationError:
        return
    whole = data[: data.rfind(b"\n") + 1]
    if whole != data:
        path.write_bytes(whole)
        expect_same(journals.unfinished(directory), found, "a journal without the line that was being written")
    if found is None:
        return
    if found.count <= 0 and found.commit is None:
        raise Finding(f"{found.count} secrets are to be put back")
    journal = journals.Journal.resume(directory)
    try:
        expect_same(journal.writes, found.count, "how many writes there were")
        entries = journal.entries(0, 1)
        apart = [entry for part in range(3) for entry in journal.entries(part, 3)]
        expect_same(sorted(apart, key=_of), sorted(entries, key=_of), "the secrets in three parts")
        expect_same({_of(entry) for entry in entries}, _left(whole), "the secrets")
        for entry in entries:
            _ = (entry.written, entry.refused, entry.attempts and entry.first)
            for version in entry.attempts:
                entry.origin(version)
            journal.record_put_back(entry)
        left = {_of(entry) for entry in journal.entries(0, 1)}
        expect_same(left, {_of(entry) for entry in entries if entry.refused}, "what is left when all is put back")
    finally:
        journal.close()


def _of(entry: Entry) -> tuple[str, str]:
    return entry.mount, entry.path


def _left(whole: bytes) -> set[tuple[str, str]]:
    """The secrets that are not put back, by Python's JSON. Why one was left is a text that no reader here decodes."""
    records = [json.loads(line.decode(errors="surrogateescape")) for line in whole.split(b"\n")[1:-1]]
    begun = {(record[1], record[2]) for record in records if record[0] in ("plan", "write", "metadata")}
    return begun - {(record[1], record[2]) for record in records if record[0] == "back"}


def seeds() -> Mapping[str, bytes]:
    """Journals of restores that ended everywhere."""
    header: dict[str, Any] = {"archive": "backups/x.enc", "started": "2026-01-17T12:00:00Z", "process": "a:1"}
    header |= {"address": "http://v:8200", "namespace": "", "roots": (("", "kv", ""),), "cluster": "c", "boot": "b"}
    first = msgspec.json.encode(JournalHeader(**header)) + b"\n"
    write = msgspec.json.encode(Write("kv", "a/b", 2, 1, existed=True, at=1.5)) + b"\n"
    wrote = msgspec.json.encode(Wrote("kv", "a/b", 2)) + b"\n"
    again = b'["write","kv","a/b",2,2,true,2.5,false,true]\n["wrote","kv","a/b",3]\n'
    planned = b'["plan","kv","n",1.0]\n["write","kv","n",2,0,false,1.0,true]\n["refused","kv","n",0]\n'
    settings = b'["metadata","kv","m",null,{"max_versions":5},true]\n'
    settings += b'["metadata","kv","o",{"custom_metadata":{"a":"b"}},{},false]\n'
    return {
        "written": first + write + wrote + again,
        "planned": first + planned + b'["plan","kv","later",3.0]\n',
        "settings": first + settings + b'["back","kv","m"]\n',
        "commit": first + write + b'["commit","731","db"]\n["left","kv","a/b","why"]\n',
        "ended": first + write + wrote + b'["back","kv","a/b"]\n',
        "cut": first + write[:-8],
        "one": first.replace(b'"b"', b'""') + b'["write","one","x",1,0,true,1]\n["wrote","one","x",0]\n',
        "empty": b"",
    }


_WORDS = words(
    rb"""
    ["plan"," ["write"," ["wrote"," ["refused"," ["metadata"," ["back"," ["left"," ["commit"," true false null -1
    0 2.0 1e400 9223372036854775808 "journal":2 \ud800 \" "," {}
    """,
    b"\n",
    b"]\n",
    b"\x00",
)
HARNESSES = {"journal": Harness(one, seeds, _WORDS)}
