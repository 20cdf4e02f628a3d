"""The preamble: what is encoded is decoded, its length is known in advance, and no bytes do worse than be refused."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kleidia_backup.formats.errors import ArchiveError, DamagedArchive, NotAnArchive, UnsupportedArchive
from kleidia_backup.formats.facts import BackupType, archive_name, format_time, parse_time
from kleidia_backup.formats.v1.header import (
    MAGIC,
    MAX_HEADER,
    MAX_PREAMBLE,
    NONCE_SIZE,
    SALT_SIZE,
    Header,
    Preamble,
    encode_preamble,
)

NOON = datetime(2026, 1, 17, 12, tzinfo=UTC)
PLAIN = Header(created_at=NOON, backup_type="full", includes_db=True, includes_kv=True, includes_audit=True)

ZONES = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
TIMES = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=ZONES)  # noqa: DTZ001 - the zone is drawn
CHECKSUMS = st.binary(min_size=32, max_size=32).map(bytes.hex)
HEADERS = st.builds(
    Header,
    created_at=TIMES.map(lambda time: time.replace(microsecond=0)),
    backup_type=st.sampled_from(get_args(BackupType)),
    includes_db=st.booleans(),
    includes_kv=st.booleans(),
    includes_audit=st.booleans(),
    checksum=CHECKSUMS,
)
SALTS = st.binary(min_size=SALT_SIZE, max_size=SALT_SIZE)
NONCES = st.binary(min_size=NONCE_SIZE, max_size=NONCE_SIZE)
NAMES = st.sampled_from([*json.loads(PLAIN.encode()), "other"])
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20))


@given(HEADERS)
def test_header_identity(header: Header) -> None:
    """Encode then decode is the identity, at the precision of a second."""
    assert Header.decode(header.encode()) == header


@given(HEADERS)
def test_header_members(header: Header) -> None:
    """The header has the members of SPEC.md, section 3, in this order, with a time in UTC that ends in Z."""
    fields = json.loads(header.encode())
    names = ["version", "created_at", "backup_type", "checksum", "includes_db", "includes_kv", "includes_audit"]
    assert list(fields) == names
    assert fields["version"] == 1
    assert datetime.strptime(fields["created_at"], "%Y-%m-%dT%H:%M:%S%z") == header.created_at
    assert fields["created_at"].endswith("Z")


@given(HEADERS, SALTS, NONCES, st.binary(max_size=100))
def test_preamble_identity(header: Header, salt: bytes, nonce: bytes, ciphertext: bytes) -> None:
    """The preamble is parsed from the beginning of a file, whatever follows, and its size is where that begins."""
    data = encode_preamble(header, salt, nonce)
    assert Preamble.parse(data + ciphertext) == Preamble(header, salt, nonce, len(data))


@given(HEADERS, CHECKSUMS)
def test_length_does_not_depend_on_the_checksum(header: Header, checksum: str) -> None:
    """A writer knows the preamble's length before it knows the ciphertext."""
    unknown = Header(
        created_at=header.created_at,
        backup_type=header.backup_type,
        includes_db=header.includes_db,
        includes_kv=header.includes_kv,
        includes_audit=header.includes_audit,
    )
    salt, nonce = bytes(SALT_SIZE), bytes(NONCE_SIZE)
    assert len(encode_preamble(unknown, salt, nonce)) == len(encode_preamble(header, salt, nonce))
    assert len(header.checksum) == len(checksum)


def test_layout() -> None:
    """Magic, length, header, salt and nonce stand where SPEC.md, section 2, says."""
    salt, nonce = bytes(range(32)), bytes(range(100, 112))
    raw = PLAIN.encode()
    assert encode_preamble(PLAIN, salt, nonce) == (
        b"KLEIDIA_BACKUP_V1" + bytes([0, 0, 0, len(raw)]) + raw + salt + nonce
    )


def test_every_cut_is_noticed() -> None:
    """A file that ends inside the magic is no archive; one that ends later in the preamble is damaged."""
    data = encode_preamble(PLAIN, bytes(SALT_SIZE), bytes(NONCE_SIZE))
    for end in range(len(MAGIC)):
        with pytest.raises(NotAnArchive):
            Preamble.parse(data[:end])
    for end in range(len(MAGIC), len(data)):
        with pytest.raises(DamagedArchive) as caught:
            Preamble.parse(data[:end])
        assert caught.value.layer == "header"


def test_the_longest_header() -> None:
    """65,536 bytes are read, from the bytes that a reader fetches first; one more is refused."""
    header = PLAIN.encode().ljust(MAX_HEADER)
    fixed = bytes(SALT_SIZE + NONCE_SIZE)
    longest = MAGIC + len(header).to_bytes(4, "big") + header + fixed
    assert len(longest) == MAX_PREAMBLE
    assert Preamble.parse(longest) == Preamble(PLAIN, fixed[:SALT_SIZE], fixed[SALT_SIZE:], MAX_PREAMBLE)
    with pytest.raises(DamagedArchive, match="65537 bytes"):
        Preamble.parse(MAGIC + (len(header) + 1).to_bytes(4, "big") + header + b" " + fixed)
    with pytest.raises(DamagedArchive, match="4294967295 bytes"):
        Preamble.parse(MAGIC + b"\xff" * 4)


@given(st.binary(max_size=200), st.sampled_from([b"", MAGIC, MAGIC + bytes(3) + b"\x14", MAGIC[:-1] + b"7"]))
def test_no_bytes_do_worse_than_be_refused(data: bytes, start: bytes) -> None:
    """Whatever a file begins with, the only exceptions are those that say what is wrong with an archive."""
    with suppress(ArchiveError):
        assert Preamble.parse(start + data).size <= len(start + data)


@given(st.dictionaries(NAMES, SCALARS | st.lists(SCALARS), max_size=3))
def test_no_header_does_worse_than_be_refused(changes: dict[str, Any]) -> None:
    """Members of any type and value are taken or refused, and those that are taken are what the header says."""
    fields = json.loads(PLAIN.encode()) | changes
    try:
        header = Header.decode(json.dumps(fields).encode())
    except (DamagedArchive, UnsupportedArchive):
        return
    assert header.backup_type == fields["backup_type"]
    assert header.includes_kv is fields["includes_kv"]
    assert header.checksum == fields["checksum"].lower()


def test_another_version() -> None:
    """A file or a header of another version says so, and what to do."""
    with pytest.raises(UnsupportedArchive, match="newer release"):
        Preamble.parse(b"KLEIDIA_BACKUP_V2" + bytes(100))
    with pytest.raises(UnsupportedArchive, match="says version 2"):
        Header.decode(PLAIN.encode().replace(b'"version":1', b'"version":2'))


RFC_3339 = {
    "1985-04-12T23:20:50.52Z": datetime(1985, 4, 12, 23, 20, 50, 520_000, tzinfo=UTC),
    "1996-12-19T16:39:57-08:00": datetime(1996, 12, 20, 0, 39, 57, tzinfo=UTC),
    "1990-12-31T23:59:60Z": datetime(1990, 12, 31, 23, 59, 59, tzinfo=UTC),
    "1990-12-31T15:59:60-08:00": datetime(1990, 12, 31, 23, 59, 59, tzinfo=UTC),
    "1937-01-01T12:00:27.87+00:20": datetime(1937, 1, 1, 11, 40, 27, 870_000, tzinfo=UTC),
    "2026-01-17T12:00:00.123456789-00:00": datetime(2026, 1, 17, 12, 0, 0, 123_456, tzinfo=UTC),
    "2026-01-17t12:00:00.1z": datetime(2026, 1, 17, 12, 0, 0, 100_000, tzinfo=UTC),
}


@pytest.mark.parametrize("text", RFC_3339)
def test_times(text: str) -> None:
    """Every RFC 3339 time is read, the examples of the RFC among them, and lands in UTC."""
    assert parse_time(text) == RFC_3339[text]
    assert parse_time(text).tzinfo is UTC


NO_TIMES = [
    None,
    20260117,
    "",
    "2026-01-17",
    "2026-W03-6",
    "20260117T120000Z",
    "2026-01-17T12:00Z",
    "2026-01-17T12:00:00",
    "2026-01-17 12:00:00Z",
    "2026-01-17T12:00:00.Z",
    "2026-01-17T12:00:00,5Z",
    "2026-01-17T24:00:00Z",
    "2026-01-17T12:60:00Z",
    "2026-01-17T12:00:61Z",
    "2026-02-30T12:00:00Z",
    "2026-01-17T12:00:00+24:00",
    "2026-01-17T12:00:00+05:80",
    "2026-01-17T12:00:00+0100",
    "2026-01-17T12:00:00+02:00:01",
    "0000-01-01T00:00:00Z",
    "0001-01-01T00:00:00+00:01",
    "9999-12-31T23:59:59-00:01",
    "2026-01-17T12:00:00Z\n",
    "\u0662\u0660\u0662\u0666-01-17T12:00:00Z",
]


@pytest.mark.parametrize("text", NO_TIMES)
def test_no_times(text: object) -> None:
    """Anything else is a damaged header, also what other standards allow and what no calendar holds."""
    with pytest.raises(DamagedArchive) as caught:
        parse_time(text)
    assert caught.value.layer == "header"


@given(TIMES)
def test_time_identity(time: datetime) -> None:
    """A time is written in UTC, to the second, and read back; with its own offset and digits as well."""
    assert parse_time(format_time(time)) == time.replace(microsecond=0)
    assert parse_time(time.isoformat()) == time


def test_archive_name() -> None:
    """A name carries prefix, type and the time in UTC."""
    moment = datetime(2026, 1, 17, 1, 2, 3, tzinfo=timezone(timedelta(hours=2)))
    assert archive_name("backups/", "vault", moment) == "backups/backup-vault-20260116-230203.enc"
