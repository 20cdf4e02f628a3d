"""Archives of format V2 that a vault's Transit engine opens, on a real one."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from kleidia_backup import (
    BackupReport,
    ConfigurationError,
    DamagedArchive,
    Keys,
    PrivateKey,
    Root,
    SigningKey,
    TokenAuth,
    TransitKey,
    UnknownSigner,
    VaultSettings,
    WrongPassword,
    backup,
    check_connections,
    full_contents,
    inspect,
    plan_restore,
    restore,
    rewrap,
    verify,
)
from kleidia_backup.demo.servers.kv import OpenBaoServer
from kleidia_backup.formats.v2.head import Head
from kleidia_backup.formats.v2.keys.slots import Password, Recipient, Transit
from kleidia_backup.stages.errors import Right, VaultError, VaultForbidden, VaultMountMissing, VaultUnreachable

from .conftest import PASSWORD, System, wreck

pytestmark = pytest.mark.anyio

SIGNING, PRIVATE = SigningKey.generate(), PrivateKey.generate("x25519")


class Engine:
    """A Transit engine of the server with a key "backup", and logins that may do little."""

    def __init__(self, server: OpenBaoServer) -> None:
        self.server = server
        self.mount = f"transit-{secrets.token_hex(4)}"
        self.ask("POST", f"sys/mounts/{self.mount}", {"type": "transit"})
        self.make("backup")

    def ask(self, method: str, path: str, body: object = None) -> Any:
        status, answer = self.server.request(method, path, body)
        assert status in {200, 204}, answer
        return answer

    def make(self, name: str) -> None:
        self.ask("POST", f"{self.mount}/keys/{name}", {})

    def drop(self, name: str) -> None:
        self.ask("POST", f"{self.mount}/keys/{name}/config", {"deletion_allowed": True})
        self.ask("DELETE", f"{self.mount}/keys/{name}")

    def key(self, *may: str, name: str = "backup", mount: str = "") -> TransitKey:
        """The key for a login that ``may`` encrypt, decrypt; for root's without any."""
        token, mount = self.server.root_token, mount or self.mount
        if may:
            rules = {"path": {f"{mount}/{each}/{name}": {"capabilities": ["update"]} for each in may}}
            policy = f"{mount}-{'-'.join(may)}"
            self.ask("PUT", f"sys/policies/acl/{policy}", {"policy": json.dumps(rules)})
            token = self.ask("POST", "auth/token/create", {"policies": [policy]})["auth"]["client_token"]
        return TransitKey(mount, name, self.vault(token))

    def vault(self, token: str, address: str = "") -> VaultSettings:
        return VaultSettings(
            address=address or self.server.address,
            auth=TokenAuth(token),
            roots=(Root("", self.mount),),
            retry_budget=0.5,
            start_budget=0.5,
        )


@pytest.fixture
def engine(openbao_server: OpenBaoServer) -> Iterator[Engine]:
    made = Engine(openbao_server)
    yield made
    made.ask("DELETE", f"sys/mounts/{made.mount}")


def writing(key: TransitKey, **given: Any) -> Keys:
    return Keys(**{"transit": key, "signing_key": SIGNING, **given})


def reading(key: TransitKey, **given: Any) -> Keys:
    return Keys(**{"transit": key, "trusted_signers": (SIGNING.public,), **given})


async def made(system: System, keys: Keys, **given: Any) -> BackupReport:
    """An archive of the vault's secrets, by default."""
    return await backup(
        **{"vault": system.vault, "store": system.store, "format": "v2", "keys": keys, "password": PASSWORD, **given}
    )


async def test_a_round_trip_without_the_password(system: System, engine: Engine) -> None:
    """One login may only encrypt, the other only decrypt; everything that reads archives opens them."""
    writer = engine.key("encrypt")
    report = await made(system, writing(writer), database=system.postgres)
    keys, store = reading(engine.key("decrypt")), system.store
    _, shown = await inspect(report.name, store=store)
    assert isinstance(shown, Head)
    assert [type(slot) for slot in shown.slots] == [Password, Transit]
    checked = await verify(report.name, store=store, keys=keys)
    assert (checked.secrets, checked.trusted) == (33, True)
    assert (await full_contents(report.name, store=store, keys=keys)).secrets == 33
    everything: dict[str, Any] = {"database": system.postgres, "vault": system.vault, "store": store}
    assert (await plan_restore(report.name, **everything, keys=keys)).blockers == ()
    rows, before = system.rows(), system.secrets()
    wreck(system)
    await restore(report.name, **everything, keys=keys)
    assert system.rows() | {"backup_jobs": []} == rows | {"backup_jobs": []}
    assert system.secrets() == before
    with pytest.raises(VaultForbidden) as caught:
        await verify(report.name, store=store, keys=reading(writer))
    assert caught.value.rights == (Right("update", f"{engine.mount}/decrypt/backup"),)


async def test_a_key_that_was_rotated_still_opens(system: System, engine: Engine) -> None:
    """The ciphertext says which version of the key it needs."""
    report = await made(system, writing(engine.key()))
    engine.ask("POST", f"{engine.mount}/keys/backup/rotate", {})
    assert (await verify(report.name, store=system.store, keys=reading(engine.key("decrypt")))).secrets == 33


async def test_private_keys_and_passwords_come_first(system: System, engine: Engine) -> None:
    """No vault is asked where they open it: not even one that is down."""
    keys = writing(engine.key("encrypt"), recipients=(PRIVATE.public,))
    report = await made(system, keys)
    nowhere = TransitKey(engine.mount, "backup", engine.vault("any", "http://127.0.0.1:1"))
    assert (await verify(report.name, store=system.store, password=PASSWORD, keys=reading(nowhere))).secrets == 33
    opened = await verify(report.name, store=system.store, keys=reading(nowhere, private_keys=(PRIVATE,)))
    assert opened.secrets == 33
    with pytest.raises(VaultUnreachable, match="No key slot of the archive is for this password or key"):
        await verify(
            report.name,
            store=system.store,
            password="not the password",
            keys=reading(nowhere, private_keys=(PrivateKey.generate("x25519"),)),
        )
    wrong = reading(engine.key("decrypt"))
    assert (await verify(report.name, store=system.store, password="not the password", keys=wrong)).secrets == 33


async def test_a_stranger_is_refused(system: System, engine: Engine) -> None:
    """Whoever may encrypt by the key could have made it."""
    report = await made(system, writing(engine.key("encrypt"), signing_key=SigningKey.generate()))
    before = system.secrets()
    for act in (restore, plan_restore):
        with pytest.raises(UnknownSigner):
            await act(report.name, vault=system.vault, store=system.store, keys=reading(engine.key("decrypt")))
    assert system.secrets() == before


async def test_a_backup_that_cannot_encrypt_writes_nothing(system: System, engine: Engine) -> None:
    """Each reason is an error of its own kind, and there is no archive."""
    with pytest.raises(VaultForbidden) as caught:
        await made(system, writing(engine.key("decrypt")))
    assert caught.value.rights == (Right("update", f"{engine.mount}/encrypt/backup"),)
    with pytest.raises(VaultError, match="There is no Transit key"):
        await made(system, writing(engine.key(name="other")))
    assert engine.server.request("GET", f"{engine.mount}/keys/other")[0] == 404
    with pytest.raises(VaultMountMissing):
        await made(system, writing(engine.key(mount="nowhere")))
    with pytest.raises(VaultUnreachable):
        await made(system, writing(TransitKey(engine.mount, "backup", engine.vault("any", "http://127.0.0.1:1"))))
    assert system.archives() == []


async def test_what_no_archive_can_be_made_with(system: System, engine: Engine) -> None:
    """Without a signature, as the only slot, in format V1."""
    key = engine.key("encrypt")
    for keys, given in (
        (Keys(transit=key), {}),
        (writing(key, password_slot=False), {}),
        (writing(key), {"format": "v1"}),
    ):
        with pytest.raises(ConfigurationError):
            await made(system, keys, **given)
    for mount, name in (("", "backup"), ("transit", ""), ("a//b", "c"), ("..", "c"), ("a", "b/c"), ("a", "b\n")):
        with pytest.raises(ConfigurationError):
            TransitKey(mount, name, key.vault)
    assert system.archives() == []


async def test_a_key_that_does_not_open_it(system: System, engine: Engine) -> None:
    """Another key, another one of the same name, none any more: the password still opens it."""
    report = await made(system, writing(engine.key()))
    engine.make("other")
    with pytest.raises(WrongPassword, match="no key slot for the Transit key"):
        await verify(report.name, store=system.store, keys=reading(engine.key("decrypt", name="other")))
    engine.drop("backup")
    with pytest.raises(VaultError, match="did not decrypt with the Transit key"):
        await verify(report.name, store=system.store, keys=reading(engine.key()))
    engine.make("backup")
    with pytest.raises(VaultError, match="did not decrypt with the Transit key"):
        await verify(report.name, store=system.store, keys=reading(engine.key("decrypt")))
    kept = await verify(report.name, store=system.store, password=PASSWORD, keys=reading(engine.key("decrypt")))
    assert kept.secrets == 33


@pytest.mark.parametrize("size", [31, 32])
async def test_a_slot_that_holds_something_else(system: System, engine: Engine, size: int) -> None:
    """The vault decrypts whatever its key encrypted; the archive's own checks say that it is not this data key."""
    key = engine.key()
    report = await made(system, writing(key))
    _, shown = await inspect(report.name, store=system.store)
    assert isinstance(shown, Head)
    (old,) = [slot.wrapped for slot in shown.slots if isinstance(slot, Transit)]
    plaintext = base64.b64encode(bytes(size)).decode()
    other = engine.ask("POST", f"{engine.mount}/encrypt/backup", {"plaintext": plaintext})["data"]["ciphertext"]
    (path,) = system.directory.rglob("*.enc")
    raw = path.read_bytes()
    place = old.encode() + b'"}]}' + b" " * 8
    assert raw.count(place) == 1
    path.write_bytes(raw.replace(place, (other.encode() + b'"}]}').ljust(len(place))))
    with pytest.raises(DamagedArchive) as caught:
        await verify(report.name, store=system.store, keys=reading(key))
    assert caught.value.layer == ("header" if size == 32 else "slots")


async def test_a_rewrap_keeps_the_slot(system: System, engine: Engine) -> None:
    """Opened by the vault, with another password and another recipient: the vault opens it as before."""
    report = await made(system, writing(engine.key("encrypt")))
    keys = reading(engine.key("decrypt"))
    done = await rewrap(
        report.name, store=system.store, keys=keys, add=(PRIVATE.public,), new_password="another password, long"
    )
    assert {type(slot) for slot in done.slots} == {Password, Recipient, Transit}
    assert (await verify(report.name, store=system.store, keys=keys)).secrets == 33
    with pytest.raises(ConfigurationError, match="Nobody could open"):
        await rewrap(report.name, store=system.store, keys=keys, drop_password=True, remove=(PRIVATE.public.id,))


async def test_a_rewrap_adds_and_removes_the_slot(system: System, engine: Engine) -> None:
    """Asked again it changes nothing; removed and added at once it is by the newest version of the key."""
    report = await made(system, Keys(signing_key=SIGNING))
    may, name = engine.key("encrypt"), f"{engine.mount}/backup"
    opened: dict[str, Any] = {
        "store": system.store,
        "password": PASSWORD,
        "keys": Keys(trusted_signers=(SIGNING.public,)),
    }
    by_vault = reading(engine.key("decrypt"))
    for number in (1, 2):
        done = await rewrap(report.name, **opened, add_transit=may, remove=[name] if number == 2 else [])
        assert (done.changed, done.absent) == (True, ())
        (slot,) = [slot for slot in done.slots if isinstance(slot, Transit)]
        assert slot.wrapped.startswith(f"vault:v{number}:")
        assert (await verify(report.name, store=system.store, keys=by_vault)).secrets == 33
        engine.ask("POST", f"{engine.mount}/keys/backup/rotate", {})
    nobody = TransitKey(engine.mount, "backup", engine.vault("any", "http://127.0.0.1:1"))
    assert not (await rewrap(report.name, **opened, add_transit=nobody)).changed
    done = await rewrap(report.name, **opened, remove=[name])
    assert [type(slot) for slot in done.slots] == [Password]
    with pytest.raises(WrongPassword, match="no key slot for the Transit key"):
        await verify(report.name, store=system.store, keys=by_vault)
    done = await rewrap(report.name, **opened, remove=[name, ""])
    assert (done.changed, done.absent) == (False, ("", name))


async def test_a_rewrap_without_right_or_signature(system: System, engine: Engine) -> None:
    """Refused, with the archive as it was; a vault is not asked for what could not be written."""
    report = await made(system, Keys(signing_key=SIGNING))
    unsigned = await made(system, Keys(), name="unsigned.enc")
    nobody = TransitKey(engine.mount, "backup", engine.vault("any", "http://127.0.0.1:1"))
    trusting = Keys(trusted_signers=(SIGNING.public,))
    for name, key, drop, error, why in (
        (report.name, engine.key("decrypt"), False, VaultForbidden, "encrypt"),
        (report.name, engine.key(name="other"), False, VaultError, "There is no Transit key"),
        (report.name, nobody, True, ConfigurationError, "Nobody could open"),
        (unsigned.name, nobody, False, ConfigurationError, "is not signed"),
    ):
        before = await inspect(name, store=system.store)
        with pytest.raises(error, match=why):
            await rewrap(
                name, store=system.store, password=PASSWORD, keys=trusting, add_transit=key, drop_password=drop
            )
        assert await inspect(name, store=system.store) == before


async def test_its_rights_are_tested(engine: Engine) -> None:
    """Encrypting for a backup, decrypting for a restore; neither is done."""
    encrypts, decrypts = (f"update on {engine.mount}/{each}/backup" for each in ("encrypt", "decrypt"))
    cases: tuple[tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]], ...] = (
        (("encrypt",), (), (decrypts,)),
        (("decrypt",), (encrypts,), ()),
        (("keys",), (encrypts,), (decrypts,)),
        ((), (), ()),
    )
    for may, *lacks in cases:
        key = engine.key(*may)
        both = [
            *await check_connections(transit=key, purpose="backup"),
            *await check_connections(transit=key, purpose="restore"),
        ]
        assert [(check.part, check.ok, check.missing) for check in both] == [
            ("transit", not missing, missing) for missing in lacks
        ]
        assert [[check.backup_lacks, check.restore_lacks] for check in both] == [lacks, lacks]
    (check,) = await check_connections(transit=engine.key(name="other"))
    assert (check.ok, check.backup_lacks) == (False, None)
    assert "There is no Transit key" in check.detail


def test_no_secret_is_shown(engine: Engine) -> None:
    """Neither the token nor the password of a login."""
    key = engine.key("encrypt")
    assert isinstance(key.vault.auth, TokenAuth)
    assert key.vault.auth.token not in repr(replace(writing(key))) + str(key)
    assert str(key) == f"{engine.mount}/backup"
