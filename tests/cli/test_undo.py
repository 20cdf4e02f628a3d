"""``restore --undo`` and ``restore --dismiss``: what an unfinished restore left behind, on the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from kleidia_backup.demo.servers.kv import KvMount
from kleidia_backup.stages.vault.kv.settings import Root, TokenAuth, VaultSettings
from kleidia_backup.stages.vault.sink import Change
from kleidia_backup.stages.vault.undo.journal import Journal

from .conftest import Outcome

Call = Callable[..., Outcome]
NAME = "backup-full-20260101-000000.enc"


@pytest.fixture
def unfinished(kv: KvMount, configured: Callable[[str], Path], tmp_path: Path) -> Path:
    """A configuration with a vault, in which a restore died that had overwritten one secret and created another."""
    state = tmp_path / "state"
    configured(
        f'[vault]\naddress = "{kv.server.address}"\nroots = [{{ mount = "{kv.path}" }}]\n'
        f'[vault.auth]\ntoken = "{kv.server.root_token}"\n[backup]\nstate_dir = "{state}"\n'
        '[store]\ntype = "directory"\npath = "."\n'
    )
    kv.put("overwritten", {"old": True})
    vault = VaultSettings(kv.server.address, TokenAuth("t"), (Root("", kv.path),))

    async def restore() -> Journal:
        journal = Journal.begin(f"backups/{NAME}", vault, state)
        for path, before in (("overwritten", 1), ("created", 0)):
            change = Change(kv.path, path, 2, before, existed=before > 0)
            await journal(change)
            kv.put(path, {"new": True})
            await journal(replace(change, after=before + 1))
        return journal

    journal = anyio.run(restore)
    journal.close()
    return journal.path


def test_another_restore_is_refused_before_anything_is_asked(unfinished: Path, call: Call) -> None:
    """Status 9; it names archive, time and number, and both ways on."""
    told = call("restore", NAME)
    assert (told.status, told.out) == (9, "")
    error, hint = told.err.splitlines()
    assert error.startswith(f"error: A restore of backups/{NAME}, begun at 2")
    assert "up to 2 secrets" in error
    assert "restore --undo" in hint
    assert "restore --dismiss" in hint
    assert call("restore", NAME, "--json").json["error"]["type"] == "UnfinishedRestore"


def test_undo(unfinished: Path, call: Call, kv: KvMount) -> None:
    """Status 0 when everything is back, and 2 when there is nothing to undo."""
    told = call("restore", "--undo")
    assert told.status == 0, told.err
    assert "The restore is undone" in told.out
    assert f"backups/{NAME}" in told.out
    assert "2 (1 with their former value, 1 removed)" in told.out
    assert kv.all() == {"overwritten": {"old": True}}
    assert not unfinished.exists()
    told = call("restore", "--undo")
    assert told.status == 2
    assert "No restore is unfinished" in told.err


def test_what_cannot_be_put_back(unfinished: Path, call: Call, kv: KvMount) -> None:
    """Status 8, with each name and its reason; dismissed, it is out of the way."""
    kv.put("overwritten", {"by": "somebody"})
    told = call("restore", "--undo", "--json")
    assert told.status == 8
    assert (told.json["removed"], told.json["left_count"], told.json["journal"]) == (1, 1, str(unfinished))
    assert told.json["left"] == [[f"{kv.path}/overwritten", "somebody else has written it since"]]
    told = call("restore", "--undo")
    assert told.status == 8
    assert "NOT everything was put back" in told.out
    assert "warning: 1 secret could not be put back" in told.err
    assert f"warning: not put back: {kv.path}/overwritten: somebody else has written it since" in told.err
    assert kv.all() == {"overwritten": {"by": "somebody"}}
    told = call("restore", "--dismiss")
    assert told.status == 9, "there is nobody to ask"
    assert unfinished.exists()
    told = call("restore", "--dismiss", "--yes", "--json")
    assert (told.status, told.json) == (0, {"dismissed": str(unfinished), "exit_code": 0})
    assert not unfinished.exists()
    assert call("restore", "--dismiss", "--yes").status == 2
    assert kv.all() == {"overwritten": {"by": "somebody"}}


def test_a_journal_that_cannot_be_read_is_dismissed_all_the_same(unfinished: Path, call: Call) -> None:
    """It stops restores and undo until then."""
    unfinished.write_bytes(b"nonsense\nnonsense\n")
    for arguments in (["restore", NAME], ["restore", "--undo"]):
        told = call(*arguments)
        assert told.status == 2
        assert "damaged" in told.err
    assert call("restore", "--dismiss", "--yes").status == 0
    assert not unfinished.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("restore", "restore needs the NAME of an archive, or --undo, or --dismiss."),
        (f"restore {NAME} --undo", "restore --undo and --dismiss take no NAME."),
        (f"restore --dismiss {NAME}", "restore --undo and --dismiss take no NAME."),
        ("restore --undo --dismiss", "not allowed with argument"),
    ],
)
def test_arguments_that_do_not_go_together(arguments: str, said: str, call: Call) -> None:
    """Status 2, and where to read on."""
    told = call(*arguments.split())
    assert told.status == 2
    assert said in told.err
    assert "restore --help" in told.err
