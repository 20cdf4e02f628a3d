"""Archives of format V2 that public keys open and that are signed, against real servers."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from kleidia_backup import (
    BackupReport,
    ConfigurationError,
    DamagedArchive,
    Keys,
    PrivateKey,
    SigningKey,
    UnknownSigner,
    WrongPassword,
    backup,
    inspect,
    plan_restore,
    restore,
    verify,
    verify_password,
)
from kleidia_backup.formats.v2.head import Head
from kleidia_backup.formats.v2.keys import signature
from kleidia_backup.formats.v2.keys.pairs import KEMS, PublicKey

from .conftest import PASSWORD, System, wreck

pytestmark = pytest.mark.anyio

PRIVATE = {kem: PrivateKey.generate(kem) for kem in KEMS}
SIGNING, STRANGER = SigningKey.generate(), SigningKey.generate()
#: A host that can write and never read.
WRITER = Keys(recipients=tuple(key.public for key in PRIVATE.values()), signing_key=SIGNING, password_slot=False)
READER = Keys(private_keys=(PRIVATE["x25519"],), trusted_signers=(SIGNING.public,))


async def made(system: System, keys: Keys, **given: Any) -> BackupReport:
    """An archive of the vault's secrets, by default."""
    return await backup(**{"vault": system.vault, "store": system.store, "format": "v2", "keys": keys, **given})


async def test_a_writer_that_cannot_read(system: System) -> None:
    """Without any password: each private key brings everything back, and the reports say who signed."""
    report = await made(system, WRITER, database=system.postgres)
    rows, secrets = system.rows(), system.secrets()
    for key in PRIVATE.values():
        keys = replace(READER, private_keys=(key,))
        checked = await verify(report.name, store=system.store, keys=keys)
        assert (checked.secrets, checked.signer, checked.trusted) == (33, SIGNING.public.text, True)
        assert (await verify_password(report.name, store=system.store, keys=keys)).name == report.name
        wreck(system)
        everything: dict[str, Any] = {"database": system.postgres, "vault": system.vault, "store": system.store}
        assert (await plan_restore(report.name, **everything, keys=keys)).blockers == ()
        await restore(report.name, **everything, keys=keys)
        assert system.rows() | {"backup_jobs": []} == rows | {"backup_jobs": []}
        assert system.secrets() == secrets
    with pytest.raises(WrongPassword):
        await verify(report.name, store=system.store, password=PASSWORD)
    with pytest.raises(WrongPassword):
        await verify(report.name, store=system.store, keys=Keys(private_keys=(PrivateKey.generate("x25519"),)))


async def test_password_and_keys_side_by_side(system: System) -> None:
    """Either opens it; trust is asked for all the same, because of the other slot."""
    report = await made(system, replace(WRITER, password_slot=True), password=PASSWORD)
    trusting = Keys(trusted_signers=(SIGNING.public,))
    await restore(report.name, vault=system.vault, store=system.store, password=PASSWORD, keys=trusting)
    await restore(report.name, vault=system.vault, store=system.store, keys=READER)
    with pytest.raises(UnknownSigner):
        await restore(report.name, vault=system.vault, store=system.store, password=PASSWORD)


@pytest.mark.parametrize("trusted", [(), (SIGNING.public,)], ids=["nobody", "somebody else"])
async def test_a_stranger_is_refused_before_anything_is_written(system: System, trusted: tuple[Any, ...]) -> None:
    """Restore and dry run refuse, and name the key; verify only says so."""
    report = await made(system, replace(WRITER, signing_key=STRANGER))
    keys = Keys(private_keys=READER.private_keys, trusted_signers=trusted)
    system.yubikeys.delete("0001/piv")
    before = system.secrets()
    for act in (restore, plan_restore):
        with pytest.raises(UnknownSigner) as caught:
            await act(report.name, vault=system.vault, store=system.store, keys=keys)
        assert caught.value.signer == STRANGER.public.text
        assert STRANGER.public.text in caught.value.hint
        assert "trusted_signers" in caught.value.hint
    assert system.secrets() == before
    checked = await verify(report.name, store=system.store, keys=keys)
    assert (checked.signer, checked.trusted) == (STRANGER.public.text, False)
    await restore(
        report.name, vault=system.vault, store=system.store, keys=replace(keys, trusted_signers=(STRANGER.public,))
    )


async def test_an_archive_for_a_password_may_be_signed(system: System) -> None:
    """Where no signer is named anybody who knows the password is believed; where one is, only that one."""
    report = await made(system, Keys(signing_key=SIGNING), password=PASSWORD)
    act = partial(restore, report.name, vault=system.vault, store=system.store, password=PASSWORD)
    for keys in (Keys(), Keys(trusted_signers=(SIGNING.public,)), Keys(signing_key=SIGNING)):
        await act(keys=keys)
    with pytest.raises(UnknownSigner):
        await act(keys=Keys(trusted_signers=(STRANGER.public,)))
    unsigned = await made(system, Keys(), password=PASSWORD, name="unsigned.enc")
    checked = await verify(unsigned.name, store=system.store, password=PASSWORD)
    assert (checked.signer, checked.trusted) == ("", False)


async def test_a_signature_by_another_key_than_the_facts_name(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is checked whenever an archive is opened, whoever is trusted."""
    real = signature.sign

    with monkeypatch.context() as patch:
        patch.setattr(signature, "sign", lambda _, *digests: real(STRANGER, *digests))
        report = await made(system, WRITER)
    with pytest.raises(DamagedArchive) as caught:
        await restore(report.name, vault=system.vault, store=system.store, keys=READER)
    assert caught.value.layer == "signature"


async def test_what_an_archive_says_without_a_key(system: System) -> None:
    """Inspect shows its slots."""
    report = await made(system, replace(WRITER, password_slot=True), password=PASSWORD)
    _, head = await inspect(report.name, system.store)
    assert isinstance(head, Head)
    assert [slot.members()["type"] for slot in head.slots] == ["password", *KEMS]
    assert head.facts.signer == SIGNING.public.raw


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"keys": WRITER, "format": "v1"}, "format V1 know no keys"),
        ({"keys": Keys(signing_key=SIGNING), "format": "v1", "password": PASSWORD}, "format V1 know no keys"),
        ({"keys": Keys(recipients=WRITER.recipients), "password": PASSWORD}, "must be signed"),
        ({"keys": Keys(password_slot=False)}, "Nobody could open"),
        ({"keys": Keys()}, "password is empty"),
        ({"keys": replace(WRITER, password_slot=True)}, "password is empty"),
        ({"keys": replace(WRITER, recipients=(PublicKey("x25519", bytes(32)),))}, "Nothing can be encrypted"),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
async def test_what_cannot_be_made(system: System, given: dict[str, Any], why: str) -> None:
    """Said before anything is opened or stored."""
    with pytest.raises(ConfigurationError, match=why):
        await made(system, given.pop("keys"), **given)
    assert system.archives() == []


async def test_nothing_to_open_it_by(system: System) -> None:
    """Neither password nor key; and a key is no help for format V1."""
    with pytest.raises(ConfigurationError, match="neither a password nor a private key"):
        await verify("x.enc", store=system.store)
    with pytest.raises(ConfigurationError, match="neither a password nor a private key"):
        await restore("x.enc", vault=system.vault, store=system.store)
    old = await made(system, Keys(), password=PASSWORD, format="v1")
    with pytest.raises(WrongPassword, match="Only a password"):
        await verify(old.name, store=system.store, keys=READER)


def test_keys_show_no_secret() -> None:
    """Requests travel into tracebacks."""
    shown = repr(WRITER) + repr(READER)
    for raw in (*(key.raw for key in PRIVATE.values()), SIGNING.raw):
        assert raw.hex() not in shown
        assert repr(raw) not in shown
