"""A key of a vault's Transit engine on the command line, by `transit` in [keys]."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kleidia_backup import SigningKey
from kleidia_backup.demo.servers.kv import KvMount

from .conftest import Outcome

Call = Callable[..., Outcome]
PASSWORD = "canary-encryption-password"


class Host:
    """A vault with a KV mount and a Transit engine, a directory for archives, and a configuration of both."""

    def __init__(self, kv: KvMount, call: Call, store: Path, here: Path) -> None:
        self.kv, self._call, self._store, self._here = kv, call, store, here
        self.mount = f"transit-{secrets.token_hex(4)}"
        signing = SigningKey.generate()
        for name, text in (("signing.key", signing.to_text()), ("password", PASSWORD)):
            (here / name).write_text(f"{text}\n", encoding="ascii")
            (here / name).chmod(0o600)
        self.ask("POST", f"sys/mounts/{self.mount}", {"type": "transit"})
        self.ask("POST", f"{self.mount}/keys/backup", {})
        kv.put("a", {"b": "c"})

    def ask(self, method: str, path: str, body: object = None) -> None:
        status, answer = self.kv.server.request(method, path, body)
        assert status in {200, 204}, answer

    def call(self, *arguments: str, transit: str = "", auth: str = "", vault: bool = True) -> Outcome:
        """Call the command; ``transit`` is the key's full name where it is not the engine's."""
        path = self._here / "kleidia-backup.toml"
        login = auth or f'token = "{self.kv.server.root_token}"'
        section = (
            f'[vault]\naddress = "{self.kv.server.address}"\n[vault.auth]\n{login}\n'
            f'[[vault.roots]]\nmount = "{self.kv.path}"\n'
        )
        path.write_text(
            f'[store]\ntype = "directory"\npath = "{self._store}"\n[backup]\nformat = "v2"\n{section if vault else ""}'
            f'[keys]\nsigning_key_file = "signing.key"\ntransit = "{transit or f"{self.mount}/backup"}"\n',
            encoding="utf-8",
        )
        path.chmod(0o600)
        outcome = self._call(*arguments)
        assert self.kv.server.root_token not in outcome.everything
        return outcome


@pytest.fixture
def host(kv: KvMount, call: Call, store_directory: Path, alone: Path) -> Iterator[Host]:
    made = Host(kv, call, store_directory, alone)
    yield made
    made.ask("DELETE", f"sys/mounts/{made.mount}")


def test_a_backup_and_a_restore(host: Host) -> None:
    """Nobody is asked for a password to open it; `inspect` says what opens it."""
    done = host.call("backup", "--type", "vault", "--password-file", "password", "--name", "kept.enc")
    assert done.status == 0, done.err
    shown = host.call("inspect", "kept.enc")
    assert f"the key backup of a vault's Transit engine at {host.mount}" in shown.out
    host.kv.put("a", {"b": "wrong"})
    assert host.call("restore", "kept.enc", "--dry-run").status == 0
    done = host.call("restore", "kept.enc", "--yes")
    assert (done.status, host.kv.all()) == (0, {"a": {"b": "c"}}), done.err
    for command in (["verify"], ["verify", "--password-only"], ["inspect", "--contents"]):
        done = host.call(*command, "kept.enc")
        assert done.status == 0, done.err


def test_what_does_not_open_it(host: Host) -> None:
    """A key that was deleted: the vault's fault, with its exit status; the password still opens it."""
    assert host.call("backup", "--type", "vault", "--password-file", "password", "--name", "kept.enc").status == 0
    host.ask("POST", f"{host.mount}/keys/backup/config", {"deletion_allowed": True})
    host.ask("DELETE", f"{host.mount}/keys/backup")
    refused = host.call("verify", "kept.enc", "--json")
    assert (refused.status, refused.json["error"]["type"]) == (6, "VaultError")
    assert host.call("verify", "kept.enc", "--password-file", "password").status == 0


def test_the_slot_comes_and_goes(host: Host) -> None:
    """By `rewrap`, which says what opens the archive from now on."""
    opened, name = ["--password-file", "password"], f"{host.mount}/backup"
    assert host.call("backup", "--type", "vault", *opened, "--name", "kept.enc").status == 0
    for change, shown, status in ((["--remove", name], False, 4), (["--add-transit", name], True, 0)):
        done = host.call("rewrap", "kept.enc", *change, *opened)
        assert (done.status, f"a vault's Transit engine at {host.mount}" in done.out) == (0, shown), done.err
        assert host.call("verify", "kept.enc").status == status
    for wrong in ("backup", f"{host.mount}//backup"):
        assert host.call("rewrap", "kept.enc", "--add-transit", wrong, *opened).status == 2


def test_the_connection(host: Host) -> None:
    """With the vault's exit status where the key is not there."""
    for purpose in ("backup", "restore"):
        tested = host.call("test-connection", "--for", purpose, "--json")
        assert (tested.status, tested.json["checks"][-1]["part"], tested.json["ok"]) == (0, "transit", True)
    failed = host.call("test-connection", transit=f"{host.mount}/other")
    assert (failed.status, "transit: not ok" in failed.out) == (6, True)


def test_what_is_configured_wrongly(host: Host) -> None:
    """Refused as configuration: no key, no vault, a login that works once."""
    for name in ("backup", f"{host.mount}//backup", "../backup"):
        assert host.call("verify", "kept.enc", transit=name).status == 2
    assert host.call("verify", "kept.enc", vault=False).status == 2
    once = 'method = "approle"\nrole_id = "a"\nsecret_id = "b"\nwrapped = true'
    refused = host.call("verify", "kept.enc", auth=once)
    assert refused.status == 2
    assert "opens once" in refused.err
