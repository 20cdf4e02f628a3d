"""Keys on the command line: making them, and archives of format V2 that they open, without any password."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from cryptography.exceptions import UnsupportedAlgorithm

from kleidia_backup import (
    DirectorySettings,
    Keys,
    PrivateKey,
    PublicKey,
    Root,
    SigningKey,
    TokenAuth,
    VaultSettings,
    VerifyKey,
    backup,
)
from kleidia_backup.demo.servers.kv import KvMount
from kleidia_backup.formats.v2.keys import pairs as module

from .conftest import Outcome

Call = Callable[..., Outcome]
PASSWORD = "canary-encryption-password"
NAME = "backups/kept.enc"


@pytest.mark.parametrize("kind", ["x25519", "mlkem768-x25519", "signing"])
def test_keygen(call: Call, alone: Path, kind: str) -> None:
    """The secret key is in the file alone, of mode 600; the public one is printed, and fits it."""
    done = call("keygen", "--kind", kind, "key", "--json")
    path, public = alone / "key", done.json["public_key"]
    assert (done.status, path.stat().st_mode & 0o777) == (0, 0o600)
    text = path.read_text(encoding="ascii")
    secret = (SigningKey if kind == "signing" else PrivateKey).parse(text)
    assert (VerifyKey if kind == "signing" else PublicKey).parse(public) == secret.public
    assert secret.to_text() in text
    assert secret.to_text() not in done.everything
    shown = call("keygen", "--kind", kind, "other")
    assert re.search(r"kleidia-public-[a-z0-9-]+:[A-Za-z0-9+/=]{48,}\n", shown.out)
    assert "kleidia-secret" not in shown.everything


def test_keygen_overwrites_nothing(call: Call, alone: Path) -> None:
    """A key that is gone is an archive that is gone."""
    (alone / "key").write_text("mine", encoding="ascii")
    (alone / "link").symlink_to("target")
    for name in ("key", "link"):
        refused = call("keygen", name)
        assert refused.status == 2
        assert "not touched" in refused.err
    assert (alone / "key").read_text(encoding="ascii") == "mine"
    assert not (alone / "target").exists()
    assert call("keygen", "nowhere/key").status == 2
    assert call("keygen", "--kind", "rsa", "key").status == 2


def test_keygen_without_mlkem(call: Call, alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what is missing and what else can be done, and makes nothing weaker."""

    def seed(_: bytes) -> None:
        raise UnsupportedAlgorithm("not here")

    monkeypatch.setattr(module, "MLKEM768PrivateKey", type("Missing", (), {"from_seed_bytes": staticmethod(seed)}))
    refused = call("keygen", "--kind", "mlkem768-x25519", "key")
    assert refused.status == 2
    assert "ML-KEM-768" in refused.err
    assert "--kind x25519" in refused.err
    assert not (alone / "key").exists()


class Host:
    """A vault, a directory with one archive for a password and a key, and a configuration without a password."""

    def __init__(self, kv: KvMount, call: Call, store: Path, here: Path) -> None:
        self.kv, self._call, self._here = kv, call, here
        self.private, self.signing = PrivateKey.generate("x25519"), SigningKey.generate()
        self.store = DirectorySettings(store, "backups/")
        self.vault = VaultSettings(kv.server.address, TokenAuth(kv.server.root_token), (Root("", kv.path),))
        for name, text in (("key", self.private.to_text()), ("sign", self.signing.to_text()), ("password", PASSWORD)):
            (here / name).write_text(f"{text}\n", encoding="ascii")
            (here / name).chmod(0o600)
        kv.put("a", {"b": "c"})
        keys = Keys(recipients=(self.private.public,), signing_key=self.signing)

        async def make() -> None:
            await backup(vault=self.vault, store=self.store, password=PASSWORD, format="v2", name="kept.enc", keys=keys)

        anyio.run(make)

    def call(self, *arguments: str | Path, keys: str = "", more: str = "") -> Outcome:
        """Call the command with this section [keys]."""
        (self._here / "kleidia-backup.toml").write_text(
            f'[store]\ntype = "directory"\npath = "{self.store.path}"\nprefix = "backups/"\n'
            f'[vault]\naddress = "{self.vault.address}"\n[vault.auth]\ntoken = "{self.kv.server.root_token}"\n'
            f'[[vault.roots]]\nmount = "{self.kv.path}"\n{more}\n[keys]\n{keys}\n',
            encoding="utf-8",
        )
        (self._here / "kleidia-backup.toml").chmod(0o600)
        outcome = self._call(*arguments)
        for secret in (PASSWORD, self.private.to_text(), self.signing.to_text(), self.kv.server.root_token):
            assert secret not in outcome.everything
        return outcome

    @property
    def trusted(self) -> str:
        """The line that trusts the signer."""
        return f'trusted_signers = ["{self.signing.public.text}"]'


@pytest.fixture
def host(kv: KvMount, call: Call, store_directory: Path, alone: Path) -> Host:
    """One host."""
    return Host(kv, call, store_directory, alone)


def test_a_restore_by_a_key(host: Host) -> None:
    """By the option and by the configuration; nobody is asked for a password."""
    for arguments, keys in ((["--key-file", "key"], ""), ([], 'private_key_files = ["key"]\n')):
        host.kv.put("a", {"b": "wrong"})
        done = host.call("restore", NAME, "--yes", *arguments, keys=f"{keys}{host.trusted}")
        assert (done.status, host.kv.all()) == (0, {"a": {"b": "c"}}), done.err
        assert "warning" not in done.err
        assert host.call("restore", NAME, "--dry-run", *arguments, keys=f"{keys}{host.trusted}").status == 0
        opened = host.call("verify", NAME, "--password-only", "--json", *arguments, keys=keys)
        assert (opened.status, opened.json["key"]) == (0, "right")


def test_an_unknown_signer(host: Host) -> None:
    """A restore refuses with its own exit status and says how to trust; verify reports."""
    host.kv.put("a", {"b": "other"})
    for arguments in (["--yes"], ["--dry-run"]):
        refused = host.call("restore", NAME, *arguments, "--key-file", "key", "--json")
        assert (refused.status, refused.json["error"]["type"]) == (3, "UnknownSigner")
        assert host.signing.public.text in refused.json["error"]["hint"]
    assert host.kv.all() == {"a": {"b": "other"}}
    verified = host.call("verify", NAME, "--key-file", "key", "--json")
    assert (verified.json["signer"], verified.json["trusted"]) == (host.signing.public.text, False)
    assert "NOT trusted here" in host.call("verify", NAME, "--key-file", "key").out
    assert "(trusted here)" in host.call("verify", NAME, "--password-file", "password", keys=host.trusted).out


def test_a_wrong_key(host: Host, alone: Path) -> None:
    """The exit status of a wrong password; a file with the wrong kind of key is not shown."""
    assert host.call("keygen", "other").status == 0
    assert host.call("verify", NAME, "--key-file", "other").status == 4
    wrong = host.call("verify", NAME, "--key-file", "sign")
    assert wrong.status == 2
    assert "kleidia-secret-x25519" in wrong.err
    for keys in (f'trusted_signers = ["{host.private.public.text}"]', 'recipients = ["kleidia-public-x25519:AAAA"]'):
        refused = host.call("verify", NAME, "--key-file", "key", keys=keys)
        assert (refused.status, "[keys]" in refused.err) == (2, True)
    assert host.call("verify", NAME, "--key-file", "missing").status == 2
    assert (alone / "other").exists()


def test_files_that_others_can_read(host: Host, alone: Path) -> None:
    """A warning for each, as for a configuration that holds secrets."""
    (alone / "key").chmod(0o640)
    (alone / "sign").chmod(0o604)
    done = host.call("verify", NAME, keys='private_key_files = ["key"]\nsigning_key_file = "sign"\n')
    assert done.status == 0
    assert done.err.count("chmod 600") == 2


def test_inspect_shows_what_opens_it(host: Host) -> None:
    """Without any key; nothing that is sealed is shown."""
    shown = host.call("inspect", NAME)
    assert "a password (Argon2id, t = 3, 64.0 MiB)" in shown.out
    assert f"the private key of {host.private.public.id} (x25519)" in shown.out
    assert host.signing.public.text in shown.out
    found = host.call("inspect", NAME, "--json").json
    assert found["slots"] == [
        {"type": "password", "t": 3, "m": 65536, "p": 4},
        {"type": "x25519", "key": host.private.public.id},
    ]


def test_format_v1_knows_no_keys(host: Host) -> None:
    """Who configured recipients is not left with archives that they cannot open."""
    keys = f'recipients = ["{host.private.public.text}"]\nsigning_key_file = "sign"'
    refused = host.call("backup", "--type", "vault", keys=keys, more='[password]\nfile = "password"')
    assert refused.status == 2
    assert "format V1" in refused.err


def test_a_backup_by_a_host_that_cannot_read(host: Host) -> None:
    """No password anywhere; the private key elsewhere opens it."""
    keys = f'recipients = ["{host.private.public.text}"]\nsigning_key_file = "sign"\npassword_slot = false\n'
    made = host.call("backup", "--type", "vault", "--format", "v2", "--json", keys=keys)
    assert made.status == 0, made.err
    name = made.json["name"]
    assert [each["type"] for each in host.call("inspect", name, "--json").json["slots"]] == ["x25519"]
    assert host.call("verify", name, "--password-file", "password").status == 4
    host.kv.put("a", {"b": "wrong"})
    assert host.call("restore", name, "--yes", "--key-file", "key", keys=host.trusted).status == 0
    assert host.kv.all() == {"a": {"b": "c"}}


def test_rewrap(host: Host, alone: Path) -> None:
    """Several archives in one call; who opens them is shown, and that nothing is revoked."""
    assert host.call("keygen", "second").status == 0
    second = PrivateKey.parse((alone / "second").read_text(encoding="ascii"))
    (alone / "new").write_text("a new password of some length\n", encoding="ascii")
    arguments = [
        "--add-recipient",
        second.public.text,
        "--remove",
        host.private.public.id,
        "--new-password-file",
        "new",
    ]
    done = host.call("rewrap", NAME, *arguments, "--password-file", "password", keys=host.trusted)
    assert (done.status, "revokes nothing" in done.out) == (0, True), done.err
    assert f"the private key of {second.public.id}" in done.out
    assert "some length" not in done.everything
    for options, status in ((["--password-file", "password"], 4), (["--key-file", "key"], 4)):
        assert host.call("verify", NAME, *options).status == status
    for options in (["--password-file", "new"], ["--key-file", "second"]):
        assert host.call("verify", NAME, *options).status == 0
    more = [NAME, "--remove", host.private.public.text, "--drop-password", "--key-file", "second", "--json"]
    dropped = host.call("rewrap", *more, keys=host.trusted)
    assert (dropped.status, "had no slot" in dropped.err) == (8, True)
    assert dropped.json["archives"][0]["slots"] == [{"type": "x25519", "key": second.public.id}]
    assert dropped.json["archives"][0]["changed"]


def test_what_rewrap_refuses(host: Host, alone: Path) -> None:
    """Each with the status of whose fault it is; the archives before it are named."""
    (alone / "short").write_text("short\n", encoding="ascii")
    opened = ["--password-file", "password"]
    refused = {
        2: [[], ["--new-password-file", "short"], ["--remove", "0" * 15], ["--remove", host.private.to_text()]],
        3: [["--add-recipient", PrivateKey.generate("x25519").public.text]],
    }
    for status, cases in refused.items():
        for arguments in cases:
            assert host.call("rewrap", NAME, *arguments, *opened).status == status, arguments
    assert host.call("rewrap", NAME, "--drop-password", "--password-file", "sign").status == 4
    both = host.call("rewrap", NAME, "missing.enc", "--drop-password", *opened, keys=host.trusted)
    assert (both.status, f"Done before that: {NAME}" in both.err) == (7, True)
