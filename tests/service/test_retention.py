"""Retention: what is too old goes, and nothing else, whatever lies around it; and the alarm about one that shrank."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kleidia_backup import DirectorySettings, S3Settings
from kleidia_backup.demo.servers.together import Bucket
from kleidia_backup.formats.facts import BackupType, archive_name
from kleidia_backup.formats.v1.header import NO_CHECKSUM, Header, encode_preamble
from kleidia_backup.formats.v2.facts import ArchiveFacts
from kleidia_backup.formats.v2.head import MIN_BODY, encode_head, facts_digest
from kleidia_backup.formats.v2.keys.slots import seal_password
from kleidia_backup.pipeline.parts.keys import NO_KEYS
from kleidia_backup.pipeline.retention.plan import Own, by_name, carry_out, plan
from kleidia_backup.pipeline.retention.rules import Aged, Rules, decide
from kleidia_backup.service.control.audit import Audit
from kleidia_backup.service.control.changes import Changes
from kleidia_backup.service.control.database import Control
from kleidia_backup.service.control.jobs import Jobs
from kleidia_backup.service.control.settings import SettingsStore
from kleidia_backup.service.work.retention import apply_retention, own_archives, shrink_warning
from kleidia_backup.stages.errors import DatabaseUnreachable, StoreForbidden, StoreUnreachable
from kleidia_backup.stages.stores.base import ObjectInfo, ObjectStore
from kleidia_backup.stages.stores.directory.store import DirectoryStore

from ..formats import second_writer

#: What the password of the tests' writer opens.
OPENED = second_writer.archive(
    second_writer.seal(second_writer.gzip_member(second_writer.document(second_writer.INNER, "", {})))
)
NOW = datetime(2026, 6, 1, 2, 0, 30, tzinfo=UTC)
PREFIX = "backups/"


def made(days: float, kind: BackupType = "full") -> Aged:
    """An archive that was made so many days ago."""
    moment = (NOW - timedelta(days=days)).replace(microsecond=0)
    return Aged(archive_name(PREFIX, kind, moment), kind, moment)


def content(aged: Aged) -> bytes:
    """The first bytes of such an archive, and some more."""
    header = Header(
        created_at=aged.created_at,
        backup_type=aged.backup_type,  # type: ignore[arg-type]  # made() takes no other
        includes_db=aged.backup_type != "vault",
        includes_kv=aged.backup_type != "database",
        includes_audit=True,
    )
    return encode_preamble(header, b"s" * 32, b"n" * 12) + b"ciphertext"


def newer_content(aged: Aged) -> bytes:
    """The same in format V2."""
    facts = ArchiveFacts(
        id="00000000-0000-4000-8000-000000000000",
        created_at=aged.created_at,
        backup_type=aged.backup_type,  # type: ignore[arg-type]  # likewise
        includes_db=aged.backup_type != "vault",
        includes_kv=aged.backup_type != "database",
        includes_audit=True,
    )
    key = bytes(32)
    slot = seal_password("password", key, facts_digest(facts.encode()))
    return encode_head(facts, [slot], key) + bytes(MIN_BODY)


class Everything:
    """Takes every archive for one of ours."""

    async def has(self, store: ObjectStore, info: ObjectInfo, checksum: str) -> bool:
        return True


@dataclass
class Shelf:
    """A directory store that tests put archives into."""

    path: Path
    audit: Audit
    newest: Aged = field(default_factory=lambda: made(0))
    own: Own = field(default_factory=Everything)

    def __post_init__(self) -> None:
        (self.path / PREFIX).mkdir()
        self.put(self.newest)

    def put(self, aged: Aged, data: bytes | None = None) -> Aged:
        """Store an archive, with the time of now as that of its last change, as a bucket that was moved has it."""
        self.write(aged.name, content(aged) if data is None else data)
        return aged

    def write(self, name: str, data: bytes) -> None:
        (self.path / name).parent.mkdir(exist_ok=True)
        (self.path / name).write_bytes(data)

    def names(self) -> set[str]:
        return {str(each.relative_to(self.path)) for each in self.path.rglob("*") if each.is_file()}

    async def apply(self, days: int = 30, keep: int = 1) -> list[str]:
        store = DirectorySettings(self.path, PREFIX)
        return await apply_retention(
            store,
            self.audit,
            now=NOW,
            rules=Rules(days=days, at_least=keep),
            newest=self.newest.name,
            own=self.own,
            job_id=7,
        )


def expired(aged: Iterable[Aged], now: datetime, *, days: int, keep: int, newest: str | None = None) -> list[Aged]:
    """What goes by these two rules alone, oldest first."""
    decisions = decide(aged, now, Rules(days=days, at_least=keep), newest=newest)
    return [each.archive for each in reversed(decisions) if each.goes]


@pytest.fixture
def shelf(store_directory: Path, control: Control) -> Shelf:
    return Shelf(store_directory, Audit(control, "app"))


# The choice ----------------------------------------------------------------------------------------------------------


def test_archives_of_every_age() -> None:
    """Thirty days: what is older goes, to the second; what is exactly as old stays."""
    aged = [made(days) for days in (0, 1, 29, 30, 31, 400)]
    a_second_more = Aged("x", "full", NOW - timedelta(days=30, seconds=1))
    chosen = expired([*aged, a_second_more], NOW, days=30, keep=1)
    assert chosen == [made(400), made(31), a_second_more]


def test_zero_days_keep_all_for_ever() -> None:
    """No retention: nothing is ever chosen."""
    assert expired([made(days) for days in range(1000)], NOW, days=0, keep=1) == []


@pytest.mark.parametrize(("keep", "left"), [(0, 1), (1, 1), (3, 3), (10, 5)])
def test_the_newest_are_kept_however_old(keep: int, left: int) -> None:
    """Backups failed for a year: the newest ones stay, at least one."""
    aged = [made(days) for days in (400, 401, 402, 403, 404)]
    chosen = expired(aged, NOW, days=30, keep=keep)
    assert len(chosen) == 5 - left
    assert set(chosen) == set(sorted(aged, key=lambda each: each.created_at)[: 5 - left])


def test_each_type_keeps_its_newest() -> None:
    """A backup of the vault each half year is not driven out by those of the database each night."""
    nights = [made(days, "database") for days in range(60)]
    vault = [made(200, "vault"), made(400, "vault")]
    chosen = expired([*nights, *vault], NOW, days=30, keep=1)
    assert [each for each in chosen if each.backup_type == "vault"] == [made(400, "vault")]
    assert len(chosen) == 1 + 29


def test_the_last_successful_one_is_never_chosen() -> None:
    """Even if a clock went wrong, and it looks like the oldest."""
    odd = made(1000)
    assert expired([odd, made(1), made(999)], NOW, days=30, keep=1, newest=odd.name) == [made(999)]


def test_archives_from_the_future_replace_nothing() -> None:
    """Three that claim to be of next year do not count as the newest, and are not old either."""
    future = [made(-days) for days in (1, 100, 365)]
    assert expired([*future, made(40), made(41)], NOW, days=30, keep=1) == [made(41)]


@given(
    st.lists(st.tuples(st.floats(-10, 1000), st.sampled_from(["full", "database", "vault"])), max_size=30, unique=True),
    st.integers(0, 500),
    st.integers(0, 10),
)
def test_whatever_there_is(ages: list[tuple[float, str]], days: int, keep: int) -> None:
    """Nothing young is chosen, nothing twice, and of each type the newest past ones are left."""
    aged = [Aged(f"{kind}-{age}", kind, NOW - timedelta(days=age)) for age, kind in ages]
    chosen = expired(aged, NOW, days=days, keep=keep)
    assert len(set(chosen)) == len(chosen)
    assert all(each.created_at < NOW - timedelta(days=days) for each in chosen)
    for kind in ("full", "database", "vault"):
        past = [each for each in aged if each.backup_type == kind and each.created_at <= NOW]
        left = [each for each in past if each not in chosen]
        assert len(left) >= min(max(keep, 1), len(past))
        gone = [each for each in past if each in chosen]
        assert not gone or min(each.created_at for each in left) >= max(each.created_at for each in gone)


@pytest.mark.parametrize(
    "name",
    [
        "backup-full-20260101-020000.enc",
        "backups/sub/backup-full-20260101-020000.enc",
        "backups/my-backup-full-20260101-020000.enc",
        "backups/backup-full-20260101-020000.enc.bak",
        "backups/backup-full-20260101-020000.enc\n",
        "backups/backup-full-20260101-020000-before-upgrade.enc",
        "backups/backup-full-20260231-020000.enc",
        "backups/backup-full-20260101-250000.enc",
        "backups/backup-full-٢0260101-020000.enc",
        "backups/backup-half-20260101-020000.enc",
        "backups/BACKUP-full-20260101-020000.enc",
        "backups/before-upgrade.enc",
        "backups/",
    ],
)
def test_names_that_are_not_ours(name: str) -> None:
    """Elsewhere, in a sub-folder, with more in front or behind, of a day that is none, chosen by somebody."""
    assert by_name(name, PREFIX) is None


def test_a_name_of_ours() -> None:
    """Type and time are read from it; any prefix is taken literally."""
    assert by_name(made(31).name, PREFIX) == made(31)
    assert by_name("a.b/backup-vault-20260101-020000.enc", "a.b/") is not None
    assert by_name("axb/backup-vault-20260101-020000.enc", "a.b/") is None


# The deleting --------------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_old_archives_are_deleted_and_audited(shelf: Shelf) -> None:
    """By the time they were made, though the store changed all of them today; each in the audit log, by the system."""
    old = [shelf.put(made(days)) for days in (31, 45, 400)]
    young = [shelf.put(made(days)) for days in (1, 29)]
    assert await shelf.apply() == []
    assert shelf.names() == {each.name for each in (shelf.newest, *young)}
    entries = await shelf.audit.page()
    assert [entry.archive for entry in entries] == [each.name for each in old]
    first = entries[0]
    assert (first.action, first.user_id, first.user_name, first.ip, first.job_id) == (
        "archive.deleted",
        None,
        "system",
        "system",
        7,
    )
    assert first.size == len(content(old[0]))
    assert "30 days" in first.details


@pytest.mark.anyio
async def test_both_formats_are_looked_at(shelf: Shelf) -> None:
    """An old archive of V2 goes as well, and so does what `convert` made of an old one, by the time of the backup."""
    old = shelf.put(made(45), newer_content(made(45)))
    converted = replace(made(46), name=made(46).name.replace(".enc", "-v2.enc"))
    shelf.put(converted, newer_content(converted))
    young = shelf.put(made(1), newer_content(made(1)))
    other = replace(made(47), name=archive_name(PREFIX, "vault", made(47).created_at))
    shelf.put(other, newer_content(made(47)))  # its facts do not fit its name
    assert await shelf.apply() == []
    assert shelf.names() == {each.name for each in (shelf.newest, young, other)}
    assert [entry.archive for entry in await shelf.audit.page()] == [old.name, converted.name]


@pytest.mark.anyio
async def test_foreign_objects_stay(shelf: Shelf) -> None:
    """Names of ours with other contents, contents of ours with other names, other folders: all of it stays."""
    old = made(400)
    shelf.put(made(401), b"somebody's own file")
    shelf.put(made(402), b"")
    shelf.put(made(403), content(made(403))[:60])  # a damaged one is for a human to decide
    shelf.put(made(1, "vault"))
    shelf.put(made(404, "vault"), content(made(404)))  # its header says another type
    shelf.put(made(405), content(made(1)))  # an old name, made yesterday: renamed, or its clock was wrong
    shelf.write("backups/before-upgrade.enc", content(old))
    shelf.write("backups/other/backup-full-20250101-020000.enc", content(old))
    shelf.write("other/backup-full-20250101-020000.enc", content(old))
    shelf.write("backup-full-20250101-020000.enc", content(old))
    shelf.write("backups/notes.txt", b"")
    before = shelf.names()
    shelf.put(old)
    assert await shelf.apply() == []
    assert shelf.names() == before
    assert [entry.archive for entry in await shelf.audit.page()] == [old.name]


@pytest.mark.anyio
async def test_foreign_objects_do_not_count_among_the_kept(shelf: Shelf) -> None:
    """Newer files that only look like archives do not let the last real ones go."""
    real = [shelf.put(made(days)) for days in (40, 50, 60)]
    for days in (1, 2, 3):
        shelf.put(made(days), b"not an archive")
    assert await shelf.apply(keep=3) == []
    assert {real[0].name, real[1].name} <= shelf.names()
    assert real[2].name not in shelf.names()


@dataclass
class Password:
    """Settings that have a password, and nothing else."""

    value: str = second_writer.PASSWORD

    async def password_if_set(self) -> str | None:
        return self.value


@pytest.mark.anyio
async def test_only_what_is_ours_counts_and_goes(shelf: Shelf, control: Control) -> None:
    """Ours is what a job recorded as it is there, and what the password opens; a well-formed header proves nothing."""
    planted = [shelf.put(made(days), content(made(days))) for days in (1, 2, 3, 500)]
    planted.append(shelf.put(made(4), newer_content(made(4))))
    recorded = [shelf.put(made(days)) for days in (40, 50, 60)]
    replaced = shelf.put(made(70))
    opened = [shelf.put(made(days), OPENED) for days in (80, 90)]
    async with control.connection() as connection:
        for each in (*recorded, replaced):
            await connection.execute(
                "INSERT INTO kleidia_backup.jobs (kind, backup_type, target, status, archive, size, checksum) "
                "VALUES ('backup', 'full', 'app', 'completed', %s, %s, %s)",
                (each.name, len(content(each)), NO_CHECKSUM),
            )
    shelf.write(replaced.name, content(made(70)) + b"of somebody else")
    shelf.own = own_archives(Jobs(control, "app", Changes()), cast(SettingsStore, Password()), NO_KEYS)
    assert await shelf.apply(keep=5) == []
    kept = (shelf.newest, *recorded, opened[0], replaced, *planted)
    assert shelf.names() == {each.name for each in kept}
    assert [entry.archive for entry in await shelf.audit.page()] == [opened[1].name]


@pytest.mark.anyio
async def test_nothing_is_read_while_nothing_is_old(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listing is enough on most nights; and with retention off not even that."""
    for days in range(1, 20):
        shelf.put(made(days))
    monkeypatch.setattr(DirectoryStore, "get", None)
    assert await shelf.apply() == []
    monkeypatch.setattr(DirectoryStore, "list", None)
    assert await shelf.apply(days=0) == []


def refusing(error: Exception) -> Callable[..., object]:
    whole = DirectoryStore.delete

    async def delete(self: DirectoryStore, name: str, *, pin: ObjectInfo | None = None) -> None:
        if name == made(45).name:
            raise error
        await whole(self, name, pin=pin)

    return delete


@pytest.mark.anyio
async def test_a_deletion_that_fails_is_a_warning(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """One is locked in the store: the others go, the warning names it, the audit log does not."""
    for days in (31, 45, 400):
        shelf.put(made(days))
    monkeypatch.setattr(DirectoryStore, "delete", refusing(StoreForbidden("It is locked.")))
    (warning,) = await shelf.apply()
    assert made(45).name in warning
    assert "It is locked." in warning
    assert shelf.names() == {shelf.newest.name, made(45).name}
    assert [entry.archive for entry in await shelf.audit.page()] == [made(31).name, made(400).name]


@pytest.mark.anyio
async def test_what_a_job_began_to_read_meanwhile_stays(shelf: Shelf) -> None:
    """A job may begin between the plan and a deletion."""
    read, old = shelf.put(made(40)), shelf.put(made(50))
    deleted: list[str] = []

    async def note(aged: Aged, _: ObjectInfo) -> None:
        deleted.append(aged.name)

    async def in_use() -> set[str]:
        return {read.name} if deleted else set()

    async with DirectorySettings(shelf.path, PREFIX).open() as store:
        decided = await plan(store, Rules(days=30, at_least=1), NOW, Everything())
        assert [each.name for each in decided.going] == [old.name, read.name]
        assert await carry_out(store, decided, note, in_use) == []
    assert deleted == [old.name]


@pytest.mark.anyio
async def test_a_store_that_went_away_ends_it(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for each of the others: two warnings say what is left."""
    for days in (31, 45, 400):
        shelf.put(made(days))
    monkeypatch.setattr(DirectoryStore, "delete", refusing(StoreUnreachable("Nobody answers.")))
    warnings = await shelf.apply()
    assert len(warnings) == 2
    assert warnings[1] == "1 more archives were not deleted either."
    assert made(31).name in shelf.names()


@pytest.mark.anyio
async def test_one_that_cannot_be_read_is_left_alone(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two lie in an archive tier: they stay, one warning says so, the third goes."""
    for days in (31, 45, 400):
        shelf.put(made(days))
    whole = DirectoryStore.get

    def get(self: DirectoryStore, name: str, **rest: Any) -> object:
        if name in {made(45).name, made(400).name}:
            raise StoreForbidden("It lies in an archive tier.")
        return whole(self, name, **rest)

    monkeypatch.setattr(DirectoryStore, "get", get)
    (warning,) = await shelf.apply()
    assert f"{made(45).name}, and 1 more" in warning
    assert "archive tier" in warning
    assert shelf.names() == {shelf.newest.name, made(45).name, made(400).name}


@pytest.mark.anyio
async def test_a_listing_that_fails_is_a_warning(shelf: Shelf) -> None:
    """The store is gone altogether: the backup stays a success, with a warning."""
    os.rename(shelf.path, shelf.path.with_name("gone"))  # noqa: PTH104
    (warning,) = await shelf.apply()
    assert warning.startswith("Retention did not take place")


@pytest.mark.anyio
async def test_what_cannot_be_audited_ends_it(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control database went away: at most one archive is deleted without an entry, and the job says so."""
    for days in (31, 45, 400):
        shelf.put(made(days))

    async def write(entry: object) -> None:
        raise DatabaseUnreachable("The control database does not answer.")

    monkeypatch.setattr(shelf.audit, "write", write)
    (warning,) = await shelf.apply()
    assert "does not answer" in warning
    assert len(shelf.names()) == 3


@pytest.mark.anyio
async def test_on_s3(bucket: Bucket, control: Control) -> None:
    """The same on a bucket, whose objects were all stored today."""
    settings = S3Settings(
        bucket=bucket.name,
        endpoint=bucket.server.endpoint,
        access_key_id=bucket.server.access_key,
        secret_access_key=bucket.server.secret_key,
        prefix=PREFIX,
    )
    for aged in (made(0), made(29), made(31), made(400)):
        bucket.put(aged.name, content(aged))
    bucket.put(made(401).name, b"not ours")
    warnings = await apply_retention(
        settings, Audit(control, "app"), now=NOW, rules=Rules(at_least=1), newest=made(0).name, own=Everything()
    )
    assert warnings == []
    assert bucket.keys() == sorted(each.name for each in (made(0), made(29), made(401)))


# The shrink alarm ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "last", "alarm"),
    [(100, None, False), (100, 0, False), (50, 100, False), (49, 100, True), (0, 1, True), (200, 100, False)],
)
def test_less_than_half_is_an_alarm(size: int, last: int | None, alarm: bool) -> None:
    """Exactly half is none; the first archive has nothing to be compared with; growth is none."""
    warning = shrink_warning("full", size, last)
    assert (warning is not None) == alarm
    if warning is not None:
        assert str(size) in warning
        assert str(last) in warning
