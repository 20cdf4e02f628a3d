"""Whatever goes wrong becomes one message and the right exit status."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kleidia_backup.commands.console import ask
from kleidia_backup.commands.console.exit_codes import EXIT_CODES
from kleidia_backup.commands.console.failure import exit_code
from kleidia_backup.pipeline.reports.jobs import Progress
from kleidia_backup.stages import errors
from kleidia_backup.stages.errors import DamagedArchive, KleidiaError

from .conftest import Outcome

CANARY = "canary-5e1c77"
Call = Callable[..., Outcome]

#: Every class of the tree; a new one must be put here, and so be thought about.
EXPECTED: dict[type[KleidiaError], int] = {
    errors.ArchiveError: 3,
    errors.NotAnArchive: 3,
    errors.UnsupportedArchive: 3,
    errors.DamagedArchive: 3,
    errors.WrongPassword: 4,
    errors.UnknownSigner: 3,
    errors.OtherSystem: 3,
    errors.PayloadError: 3,
    errors.ConfigurationError: 2,
    errors.ToolError: 2,
    errors.DatabaseError: 5,
    errors.DatabaseUnreachable: 5,
    errors.DatabaseForbidden: 5,
    errors.DumpFailed: 5,
    errors.RestoreFailed: 5,
    errors.CommitUncertain: 5,
    errors.VaultError: 6,
    errors.VaultUnreachable: 6,
    errors.VaultSealed: 6,
    errors.VaultForbidden: 6,
    errors.VaultMountMissing: 6,
    errors.VaultUnreadable: 6,
    errors.VaultThreshold: 6,
    errors.StoreError: 7,
    errors.StoreUnreachable: 7,
    errors.StoreForbidden: 7,
    errors.StoreFull: 7,
    errors.BucketMissing: 7,
    errors.ObjectMissing: 7,
    errors.ObjectExists: 7,
    errors.ObjectChanged: 7,
    errors.ObjectRetained: 7,
    errors.Busy: 9,
    errors.Pinned: 9,
    errors.UnfinishedRestore: 9,
    errors.JobTimeout: 10,
    errors.InternalError: 1,
    ask.NotConfirmed: 9,
}


def _tree(root: type[KleidiaError]) -> Iterator[type[KleidiaError]]:
    for kind in root.__subclasses__():
        yield kind
        yield from _tree(kind)


def test_every_class_of_errors_has_a_status() -> None:
    """The whole tree is in the table, with a documented status each; finer classes count as what they derive from."""
    ours = {kind for kind in _tree(KleidiaError) if kind.__module__.startswith("kleidia_backup.")}
    finer = {kind for kind in ours if kind.__name__ not in {*errors.__all__, "NotConfirmed"}}
    assert ours - finer == set(EXPECTED)
    for kind in finer:
        (base,) = (each for each in EXPECTED if each.__name__ == kind.documented())
        assert issubclass(kind, base)
        assert exit_code(kind) == EXPECTED[base]
    assert {kind.__name__ for kind in EXPECTED} - {"NotConfirmed"} <= set(errors.__all__)
    assert set(EXPECTED.values()) <= set(EXIT_CODES)
    assert {kind: exit_code(kind) for kind in EXPECTED} == EXPECTED


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch, configured: Callable[[str], Path]) -> Callable[[BaseException], None]:
    """A configuration, with a library whose verification raises what the test gives it."""
    configured('[store]\ntype = "directory"\npath = "."\n')
    monkeypatch.setenv("KLEIDIA_BACKUP_PASSWORD", CANARY)

    def fail(error: BaseException) -> None:
        async def verify(*_: Any, **__: Any) -> None:
            raise error

        monkeypatch.setattr("kleidia_backup.commands.verify.read_all", verify)

    return fail


@pytest.mark.parametrize("kind", EXPECTED, ids=lambda kind: kind.__name__)
def test_an_error_is_one_line_and_a_next_step(
    kind: type[KleidiaError], failing: Callable[[BaseException], None], call: Call
) -> None:
    """On stderr, with nothing on stdout; with ``--json`` one object on stdout, with nothing on stderr."""
    arguments = ("header", "It broke.\nTwice.") if kind is DamagedArchive else ("It broke.\nTwice.",)
    failing(kind(*arguments, hint="Mend it."))
    told = call("verify", "x")
    assert (told.status, told.out) == (EXPECTED[kind], "")
    meaning = f" {kind.sentences[kind.effect]}".rstrip() if kind.effect else ""
    assert told.err == f"error: It broke. Twice.{meaning}\nhint: Mend it.\n"
    told = call("verify", "x", "--json")
    assert (told.status, told.err) == (EXPECTED[kind], "")
    assert told.json == {
        "error": {
            "type": kind.__name__,
            "message": f"It broke. Twice.{meaning}",
            "hint": "Mend it.",
            "exit_code": EXPECTED[kind],
            "effect": kind.effect,
            "rights": [],
            "remedies": ["undo", "dismiss"] if kind is errors.UnfinishedRestore else [],
        }
    }


def test_what_nobody_expected_is_a_bug_of_ours(failing: Callable[[BaseException], None], call: Call) -> None:
    """Status 1, no traceback, and not its text, which nobody looked through for secrets."""
    failing(RuntimeError(CANARY))
    told = call("verify", "x")
    assert (told.status, told.out) == (1, "")
    assert "RuntimeError" in told.err
    assert "--verbose" in told.err
    assert "Traceback" not in told.err
    assert CANARY not in told.err
    assert call("verify", "x", "--json").json["error"]["type"] == "InternalError"


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_too_many_open_files_are_no_bug(number: int, failing: Callable[[BaseException], None], call: Call) -> None:
    """Whatever met that, and whatever it made of it: the limit is named, and how to raise it."""
    met = RuntimeError("a library's own")
    met.__cause__ = ExceptionGroup("tasks", [ValueError(), OSError(number, "Too many open files")])
    failing(met)
    told = call("verify", "x")
    assert told.status == 2
    assert "limit of open files" in told.err
    assert "ulimit -n" in told.err
    assert "report" not in told.err


@pytest.mark.parametrize(
    ("phase", "certain"), [(None, True), ("verify", True), ("restore", False), ("commit", False), ("undo", False)]
)
def test_a_restore_that_its_archive_stops_says_that_nothing_was_changed(
    phase: Any, certain: bool, failing: Callable[[BaseException], None], call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As far as that is certain: before the first writing."""
    failing(RuntimeError())

    async def restore(*_: Any, on_progress: Callable[[Progress], None], **__: Any) -> None:
        if phase:
            on_progress(Progress(phase=phase, seconds=1.0))
        raise errors.WrongPassword("Wrong.", hint="Another.")

    monkeypatch.setattr("kleidia_backup.commands.restores.restore.bring_back", restore)
    told = call("restore", "x", "--yes")
    assert (told.status, "error: Wrong. Nothing was changed.\n" in told.err) == (4, certain)


def test_verbose_shows_the_traceback(failing: Callable[[BaseException], None], call: Call) -> None:
    """On stderr, before the message; stdout stays as it is without."""
    failing(errors.StoreFull("Full.", hint="Make room."))
    told = call("verify", "x", "--verbose", "--json")
    assert told.status == 7
    assert "Traceback" in told.err
    assert "StoreFull" in told.err
    assert len(told.out.splitlines()) == 1


def test_a_terminal_is_not_controlled_by_what_it_is_shown(failing: Callable[[BaseException], None], call: Call) -> None:
    """A name from a server or an archive with escape sequences is printed, not obeyed."""
    failing(errors.ObjectMissing("No \x1b[2Jname\r\x07 \u202e.", hint=""))
    told = call("verify", "x")
    assert told.err == "error: No \\x1b[2Jname \\x07 \\u202e.\n"


@pytest.mark.parametrize("command", ["list", "backup", "verify x", "test-connection"])
def test_without_any_configuration_the_first_step_is_named(command: str, call: Call) -> None:
    """Status 2, and how to begin."""
    told = call(*command.split())
    assert told.status == 2
    assert "config --example" in told.err


def test_a_named_configuration_that_is_not_there(call: Call) -> None:
    """Status 2, before anything else is looked at."""
    told = call("list", "--config", "gone.toml")
    assert told.status == 2
    assert "gone.toml" in told.err


def test_the_example_is_printed_and_the_configuration_shown(call: Call, configured: Callable[[str], Path]) -> None:
    """``config --example`` needs no configuration; ``config`` checks the one there is and shows it without secrets."""
    printed = call("config", "--example")
    assert printed.status == 0
    assert "[vault.auth]" in printed.out
    assert call("config", "--example", "--json").json["example"] == printed.out
    configured(
        f'[database]\nhost = "db"\nname = "app"\npassword = "{CANARY}"\n'
        f'[vault]\naddress = "http://v:8200"\n[[vault.roots]]\nmount = "secret"\n[vault.auth]\ntoken = "{CANARY}"\n'
        f'[store]\nbucket = "a-bucket"\nprefix = "p/"\naccess_key_id = "a"\nsecret_access_key = "{CANARY}"\n'
    )
    shown = call("config")
    assert shown.status == 0
    for part in (
        "kleidia-backup.toml",
        "database app at db:5432",
        "http://v:8200: secret/",
        "AWS S3",
        "p/",
        "a-bucket",
    ):
        assert part in shown.out
    assert CANARY not in shown.everything + call("config", "--json", "--verbose").everything


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ('[database]\nhost = "db"\n[service]\nmetrics_token = "short"\n', "metrics_token in [service]"),
        ('[database]\nhost = "db"\n[service]\nlease = "1s"\n', "lease"),
        ("[service]\n", "[database]"),
        ('[password.vault]\nmount = "secret"\n', "is not set"),
        ('[keys]\nrecipients = ["kleidia-public-x25519:AAAA"]\n', "recipients"),
        ("[retention]\ndays = -1\n", "days in [retention]"),
        ('[drill]\ntarget = "moon"\n', "target in [drill]"),
        ("[backup]\nlevel = 20\n", "level in [backup]"),
        ('[password]\nfile = "not-there"\n', "not-there, the password file"),
        ('[database]\nhost = "db"\n[service]\n[schedule]\nbackup = "61 * * * *"\n', "bad minute"),
        ('[database]\nhost = "db"\n[service]\n[schedule]\ntimezone = "Mars/Base"\n', "timezone"),
    ],
)
def test_config_refuses_what_a_backup_or_the_service_would(
    more: str, problem: str, call: Call, configured: Callable[[str], Path]
) -> None:
    """``config`` does not say "can be used" of what `serve` or `backup` then refuse."""
    configured(
        f'[vault]\naddress = "http://v:8200"\n[[vault.roots]]\nmount = "secret"\n[vault.auth]\ntoken = "t"\n{more}'
    )
    refused = call("config")
    assert refused.status == 2
    assert problem in refused.err


def test_warnings_about_the_configuration_are_shown(call: Call, configured: Callable[[str], Path]) -> None:
    """On stderr, so that the result on stdout stays what it is."""
    path = configured(f'[store]\ntype = "directory"\npath = "."\n[database]\npassword = "{CANARY}"\n')
    path.chmod(0o644)
    told = call("list", "--json")
    assert told.status == 0
    assert told.err.startswith("warning: ")
    assert told.json == {"archives": [], "total": 0, "next": None, "exit_code": 0}
    assert CANARY not in told.everything


def test_config_names_the_target_whose_schedule_is_none(call: Call, configured: Callable[[str], Path]) -> None:
    """As `serve` would, and the others can be used."""
    configured(
        '[vault]\naddress = "http://v:8200"\n[[vault.roots]]\nmount = "secret"\n[vault.auth]\ntoken = "t"\n'
        '[service]\ncontrol_conninfo = "host=db"\n[store]\nbucket = "b"\n'
        '[targets.good.database]\nname = "good"\n[targets.bad.database]\nname = "bad"\n'
        '[targets.bad.schedule]\nbackup = "61 * * * *"\n'
    )
    told = call("config", "--json")
    assert told.status == 2
    assert {each["name"]: each["ok"] for each in told.json["targets"]} == {"good": True, "bad": False}, told.everything
