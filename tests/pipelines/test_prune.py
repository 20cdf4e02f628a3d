"""Secrets that the archive does not have: kept, unless a restore is asked to remove them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from kleidia_backup import ConfigurationError, DatabaseError, Progress, RestoreReport, Root, TokenAuth, restore
from kleidia_backup.demo.servers.kv import KvMount
from kleidia_backup.pipeline.job import Job
from kleidia_backup.pipeline.parts import pruning
from kleidia_backup.stages.errors import VaultForbidden
from kleidia_backup.stages.vault.kv.client import VaultClient
from kleidia_backup.stages.vault.path_set import PathSet

from ..archive_format import backup, both_formats
from .conftest import PASSWORD, System, wreck

pytestmark = pytest.mark.anyio


async def prune(system: System, name: str, **changes: Any) -> RestoreReport:
    options: dict[str, Any] = {
        "database": system.postgres,
        "vault": system.vault,
        "store": system.store,
        "password": PASSWORD,
        "prune": True,
    }
    return await restore(name, **options | changes)


def add_extras(system: System) -> None:
    """Three secrets that no archive has, one of them in a folder of its own; and one outside the roots."""
    system.application.put("kleidia/later", {"a": 1})
    system.application.put("elsewhere", {"not": "ours"})
    system.yubikeys.put("0001/later", {"b": 2})
    system.yubikeys.put("new/folder/deep", {"c": 3})


async def test_what_the_archive_does_not_have_stays(system: System) -> None:
    """By default nothing is removed."""
    made = await backup(database=system.postgres, vault=system.vault, store=system.store, password=PASSWORD)
    add_extras(system)
    before = system.secrets()
    report = await prune(system, made.name, prune=False)
    assert system.secrets() == before
    assert (report.pruned_count, report.pruned, report.unpruned_count) == (0, (), 0)


@both_formats
async def test_prune_makes_the_roots_equal_to_the_archive(system: System) -> None:
    """What is below the roots and not in the archive goes, by name; what is outside stays, and the rest returns."""
    made = await backup(database=system.postgres, vault=system.vault, store=system.store, password=PASSWORD)
    secrets = system.secrets()
    wreck(system)
    add_extras(system)
    seen: list[Progress] = []
    report = await prune(system, made.name, on_progress=seen.append)
    secrets["application"]["elsewhere"] = {"not": "ours"}
    now = system.secrets()
    assert {mount: {path: value for path, value in kv.items() if value is not None} for mount, kv in now.items()} == (
        secrets
    )
    assert report.pruned_count == 3
    assert sorted(report.pruned) == ["later", "yubikeys/0001/later", "yubikeys/new/folder/deep"]
    assert (report.unpruned_count, report.warnings) == (0, ())
    phases = [progress.phase for progress in seen]
    assert phases.index("prune") > phases.index("commit")  # nothing is removed for a restore that may yet fail
    assert "prune" in report.seconds


async def test_what_was_removed_can_be_undeleted(system: System) -> None:
    """In KV version 2 only the newest version is deleted, softly; one that was deleted before is not touched again."""
    made = await backup(vault=system.vault, store=system.store, password=PASSWORD)
    add_extras(system)
    kv = system.yubikeys
    status, _ = kv.server.request("DELETE", f"{kv.path}/data/0001/later")
    assert status == 204
    report = await prune(system, made.name)
    assert sorted(report.pruned) == ["later", "yubikeys/new/folder/deep"]
    assert kv.get("new/folder/deep") is None
    status, _ = kv.server.request("POST", f"{kv.path}/undelete/new/folder/deep", {"versions": [1]})
    assert status == 204
    assert kv.get("new/folder/deep") == {"c": 3}


async def test_kv_version_1(system: System, kv_mount: Callable[[int], KvMount]) -> None:
    """There a removed secret is gone."""
    old = kv_mount(1)
    old.put("a", {"x": 1})
    vault = replace(system.vault, roots=(Root("", old.path),))
    made = await backup(vault=vault, store=system.store, password=PASSWORD)
    old.put("b/c", {"x": 2})
    report = await prune(system, made.name, vault=vault)
    assert report.pruned == ("b/c",)
    assert old.all() == {"a": {"x": 1}}


@both_formats
async def test_a_restore_that_fails_removes_nothing(system: System) -> None:
    """The database refuses the archive at its end: every secret that was there is there."""
    made = await backup(database=system.postgres, vault=system.vault, store=system.store, password=PASSWORD)
    add_extras(system)
    system.sql("CREATE TABLE in_the_way () INHERITS (users)")
    before = system.secrets()
    with pytest.raises(DatabaseError):
        await prune(system, made.name)
    assert system.secrets() == before


@both_formats
async def test_an_archive_without_the_vault_or_without_secrets_prunes_nothing(
    system: System, kv_mount: Callable[[int], KvMount]
) -> None:
    """To remove everything is refused, whatever the reason that the archive has no secret."""
    database = await backup(database=system.postgres, store=system.store, password=PASSWORD)
    empty = kv_mount(2)
    nothing = await backup(
        vault=replace(system.vault, roots=(Root("", empty.path, allow_empty=True),)),
        store=system.store,
        password=PASSWORD,
    )
    full = await backup(database=system.postgres, vault=system.vault, store=system.store, password=PASSWORD)
    before = system.rows(), system.secrets()
    with pytest.raises(ConfigurationError, match="by a restore of the vault"):
        await prune(system, database.name)
    with pytest.raises(ConfigurationError, match="has no secret"):
        await prune(system, nothing.name)
    with pytest.raises(ConfigurationError, match="by a restore of the vault"):
        await prune(system, full.name, only="database")
    assert (system.rows(), system.secrets()) == before


def token(system: System, **rules: list[str]) -> TokenAuth:
    """A token that may only what the rules say, of paths in which ``app`` and ``keys`` stand for the two mounts."""
    server = system.application.server
    text = "\n".join(
        f'path "{path.replace("app", system.application.path).replace("keys", system.yubikeys.path)}"'
        f" {{ capabilities = {str(rights).replace(chr(39), chr(34))} }}"
        for path, rights in rules.items()
    )
    name = f"prune-{system.application.path}"
    assert server.request("PUT", f"sys/policies/acl/{name}", {"policy": text})[0] == 204
    status, answer = server.request("POST", "auth/token/create", {"policies": [name], "ttl": "1h"})
    assert status == 200
    return TokenAuth(str(answer["auth"]["client_token"]))


RESTORE: dict[str, list[str]] = {
    "app/data/kleidia/*": ["read", "create", "update"],
    "keys/data/*": ["read", "create", "update"],
}


async def test_the_rights_for_it_are_asked_for_first(system: System) -> None:
    """A token that may restore and not remove: nothing is written, and the missing rights are named."""
    made = await backup(database=system.postgres, vault=system.vault, store=system.store, password=PASSWORD)
    wreck(system)
    before = system.rows(), system.secrets()
    vault = replace(system.vault, auth=token(system, **RESTORE))
    with pytest.raises(VaultForbidden, match=r"delete on .*/data/kleidia/") as caught:
        await prune(system, made.name, vault=vault)
    assert "list on" in caught.value.message
    assert (system.rows(), system.secrets()) == before
    assert (await prune(system, made.name, vault=vault, prune=False)).written == 12


@both_formats
async def test_what_cannot_be_removed_or_looked_at_is_a_warning(system: System) -> None:
    """The restore is done by then: it succeeds, and says what is still there."""
    made = await backup(vault=system.vault, store=system.store, password=PASSWORD)
    add_extras(system)
    system.yubikeys.put("closed/x", {"d": 4})
    everything = ["read", "create", "update", "delete"]
    rules = {
        "app/data/kleidia/*": everything,
        "keys/data/*": everything,
        "app/metadata/*": ["list"],
        "keys/metadata/*": ["list"],
        "keys/metadata/closed/*": ["deny"],
        "keys/data/new/*": ["read"],
    }
    report = await prune(system, made.name, vault=replace(system.vault, auth=token(system, **rules)))
    assert sorted(report.pruned) == ["later", "yubikeys/0001/later"]
    assert report.unpruned_count == 2
    first, second = report.warnings
    assert "could not be removed: yubikeys/new/folder/deep" in first
    assert second.startswith("1 vault path could not be looked at and stays: yubikeys/closed/")
    assert system.yubikeys.get("closed/x") == {"d": 4}


@both_formats
async def test_a_vault_that_is_lost_after_the_commit_is_a_warning(system: System) -> None:
    """Nothing after the commit can make a restore fail."""
    made = await backup(database=system.postgres, vault=system.vault, store=system.store, password=PASSWORD)
    wreck(system)
    add_extras(system)
    rights = {**RESTORE, "app/metadata/*": ["list"], "keys/metadata/*": ["list"]}
    rights = {path: [*allowed, "delete"] for path, allowed in rights.items()}
    auth = token(system, **rights)
    server = system.application.server

    def revoke(progress: Progress) -> None:
        if progress.phase == "commit":
            server.request("POST", "auth/token/revoke", {"token": auth.token})

    report = await prune(system, made.name, vault=replace(system.vault, auth=auth), on_progress=revoke)
    (warning,) = report.warnings
    assert warning.startswith("Not every secret that the archive does not have was removed:")
    assert (report.pruned_count, report.unpruned_count, report.written) == (0, 1, 12)
    assert len(system.sql("SELECT * FROM users")) == 50
    assert system.yubikeys.get("new/folder/deep") == {"c": 3}


async def test_the_time_limit_of_the_job_ends_it_with_a_warning(system: System) -> None:
    """What is committed is no failure because there was no time left to remove something."""
    add_extras(system)
    before = system.secrets()
    async with VaultClient(system.vault) as client:
        pruned = await pruning.prune(Job(None, None), client, system.vault, PathSet(), 0.5)
    assert pruned.warnings == (
        "Not every secret that the archive does not have was removed: The job's time limit was reached.",
    )
    assert (pruned.count, pruned.left) == (0, 1)
    assert system.secrets() == before


async def test_a_secret_in_the_place_of_another_root_stays(system: System) -> None:
    """No archive can have it, for its path there belongs to the other root: so it is not missing from one either."""
    made = await backup(vault=system.vault, store=system.store, password=PASSWORD)
    system.application.put("kleidia/yubikeys/0001/pin", {"whose": "?"})
    report = await prune(system, made.name)
    assert report.pruned_count == 0
    assert system.application.get("kleidia/yubikeys/0001/pin") == {"whose": "?"}


def test_a_set_of_paths_is_exact_and_small() -> None:
    """What was added is there and nothing else is; 100,000 paths take less than 3 MB."""
    import tracemalloc

    tracemalloc.start()
    paths = PathSet()
    for n in range(100_000):
        paths.add(f"yubikeys/{n}/piv")
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 3_000_000
    assert len(paths) == 100_000
    assert all(f"yubikeys/{n}/piv" in paths for n in range(0, 100_000, 7))
    assert not any(f"yubikeys/{n}/pi" in paths for n in range(0, 100_000, 7))
