"""What reports and errors say of one thing and of several."""

from __future__ import annotations

import pytest

from kleidia_backup.pipeline.reports.findings import Findings
from kleidia_backup.pipeline.reports.plan import VaultPlan
from kleidia_backup.stages.vault.kv.backoff import Kind, Trouble
from kleidia_backup.stages.vault.reports import ReadReport, WriteReport
from kleidia_backup.stages.vault.undo.journal import Unfinished
from kleidia_backup.stages.words import count

_HIGHER = "a restore needs a listener with a higher max_request_json_strings."


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 secrets"), (1, "1 secret"), (2, "2 secrets"), (1234, "1,234 secrets")]
)
def test_a_number_of_things(number: int, said: str) -> None:
    """One is singular, everything else plural."""
    assert count(number, "secret") == said


def _read(number: int) -> list[str]:
    report = ReadReport(deleted=number, custom_metadata=number)
    for each in range(number):
        report.unreadable.add((f"closed/{each}", "permission denied"))
        report.too_many_strings.add(f"heavy/{each}")
    return report.warnings()


def test_one_of_each_in_a_backup() -> None:
    """The warnings of a backup agree with one."""
    assert _read(1) == [
        "1 vault path could not be read: closed/0 (permission denied).",
        "1 secret is not in the archive because its newest version is deleted.",
        "1 secret has custom metadata, which an archive of format V1 cannot hold.",
        f"1 secret holds more than 1,000 strings, heavy/0: {_HIGHER}",
    ]


def test_two_of_each_in_a_backup() -> None:
    """They agree with several."""
    assert _read(2) == [
        "2 vault paths could not be read: closed/0, closed/1 (permission denied).",
        "2 secrets are not in the archive because their newest version is deleted.",
        "2 secrets have custom metadata, which an archive of format V1 cannot hold.",
        f"2 secrets hold more than 1,000 strings, for example heavy/0: {_HIGHER}",
    ]


def test_one_secret_of_a_restore() -> None:
    """The warning of a restore, the dry run's blocker and the error of an unfinished one agree with one."""
    report = WriteReport(total=1)
    report.failed.add(("closed", "permission denied"))
    assert report.warnings() == ["1 of 1 secret could not be written: closed (permission denied)."]
    findings = Findings()
    plan = VaultPlan(
        address="", roots=(), new=0, changed=0, unchanged=0, unreadable=1, extra=0, unreadable_paths=("closed",)
    )
    findings.vault(plan, prune=False)
    assert findings.blockers[0].startswith("1 of 1 secret could not be written: closed")
    assert "up to 1 secret that it wrote is in the vault" in Unfinished("a.enc", "then", "there", 1).error().message


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        ("unreachable", "the connection was closed in the middle", "the connection was closed in the middle"),
        ("unreachable", "no answer in time", "no answer in time"),
        ("busy", "answers 429, too many requests", "the server answers 429, too many requests"),
        ("sealed", "is sealed", "the server is sealed"),
    ],
)
def test_trouble_in_the_middle_of_a_sentence(kind: Kind, text: str, said: str) -> None:
    """A reason is a whole clause, whoever its subject is."""
    assert Trouble(kind, text).clause == said
