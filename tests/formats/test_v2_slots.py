"""The key slots of format V2: each opens the archive alone, and every fault is found before it costs anything."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from argon2.exceptions import HashingError
from argon2.low_level import Type, hash_secret_raw
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

import kleidia_backup.formats.v2.keys.slots as module
from kleidia_backup.formats.errors import ArchiveError, DamagedArchive, PayloadError, UnsupportedArchive, WrongPassword
from kleidia_backup.formats.v2.keys.pairs import KEMS, Kem, PrivateKey
from kleidia_backup.formats.v2.keys.slots import (
    Password,
    Recipient,
    Slot,
    Transit,
    Unknown,
    encode,
    open_slots,
    parse,
    seal_password,
    seal_public,
)

from .v2_heads import DATA_KEY, PASSWORD, facts, password, slots

DIGEST = hashlib.sha256(b"facts").digest()
KEYS = {kem: PrivateKey(kem, b"k" * 32) for kem in KEMS}
SLOT = seal_password(PASSWORD, DATA_KEY, DIGEST, t=1, m=32, p=4)
TRANSIT = Transit(mount="transit", name="backup", wrapped="vault:v1:AAAA")
RECIPIENTS = {kem: seal_public(key.public, DATA_KEY, DIGEST) for kem, key in KEYS.items()}


@pytest.fixture
def derivations(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The parameters of every Argon2 that was computed."""
    calls: list[dict[str, Any]] = []

    def derive(password: bytes, salt: bytes, **parameters: Any) -> bytes:
        calls.append(parameters)
        return hash_secret_raw(password, salt, **parameters)

    monkeypatch.setattr(module, "hash_secret_raw", derive)
    return calls


def damaged(*found: object) -> bool:
    """Whether these slots are refused as damage of their layer."""
    with pytest.raises(DamagedArchive) as caught:
        parse(slots(*found))
    return caught.value.layer == "slots"


def changed(slot: Slot, **changes: object) -> dict[str, Any]:
    """A slot's members, some of them changed; those of ``...`` are left out."""
    return {name: value for name, value in (slot.members() | changes).items() if value is not ...}


def encoded(raw: bytes) -> str:
    """Base64."""
    return base64.b64encode(raw).decode()


SLOTS: st.SearchStrategy[Slot] = st.one_of(
    st.builds(
        Password,
        t=st.integers(1, 16),
        m=st.integers(128, 16384),  # eight of them stay below the limit of their sum
        p=st.integers(1, 16),
        salt=st.binary(min_size=16, max_size=16),
        check=st.binary(min_size=32, max_size=32),
        wrapped=st.binary(min_size=48, max_size=48),
    ),
    st.builds(
        Recipient,
        kem=st.just(KEMS[0]),
        key=st.binary(min_size=8, max_size=8).map(bytes.hex),
        sealed=st.binary(min_size=80, max_size=80),
    ),
    st.builds(Unknown, type=st.just("future"), others=st.just('{"a":[1,{"b":null}],"ü":"\\n"}')),
    st.just(SLOT),
)


@given(st.lists(SLOTS, min_size=1, max_size=8), st.sampled_from([None, 8192, 65536]))
def test_identity(given_slots: list[Slot], size: int | None) -> None:
    """Encode then parse is the identity; the size is a multiple of 4,096, or the one that was asked for."""
    raw = encode(given_slots, size)
    assert len(raw) % 4096 == 0
    assert size in {None, len(raw)}
    assert raw.rstrip(b" ").endswith(b"}")
    assert parse(raw) == tuple(given_slots)


def test_password_by_the_page() -> None:
    """A slot's members, read by section 4 without our reader, give the data key."""
    members = json.loads(encode([seal_password(PASSWORD, DATA_KEY, DIGEST)]))["slots"][0]
    assert (members["type"], members["kdf"]) == ("password", "argon2id")
    assert (members["t"], members["m"], members["p"]) == (3, 65536, 4)
    salt, check, wrapped = (base64.b64decode(members[name]) for name in ("salt", "check", "wrapped"))
    derived = hash_secret_raw(
        PASSWORD.encode(), salt, time_cost=3, memory_cost=65536, parallelism=4, hash_len=64, type=Type.ID, version=0x13
    )
    assert derived[32:] == check
    assert AESGCM(derived[:32]).decrypt(bytes(12), wrapped, b"kleidia-backup/v2 slot" + DIGEST) == DATA_KEY


def test_x25519_by_the_page() -> None:
    """A slot for X25519, opened by RFC 9180 alone."""
    members = RECIPIENTS["x25519"].members()
    private = X25519PrivateKey.from_private_bytes(KEYS["x25519"].raw)
    public = private.public_key().public_bytes_raw()
    assert members["type"] == "x25519"
    assert members["key"] == hashlib.sha256(public).hexdigest()[:16]
    sealed = base64.b64decode(members["sealed"])
    shared, ciphertext = sealed[:32], sealed[32:]
    kem, hpke = b"KEM\x00\x20", b"HPKE\x00\x20\x00\x01\x00\x02"

    def extract(suite: bytes, salt: bytes, label: bytes, key: bytes) -> bytes:
        return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + key, "sha256")

    def expand(suite: bytes, key: bytes, label: bytes, info: bytes, size: int) -> bytes:
        text = size.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
        return hmac.digest(key, text + b"\x01", "sha256")[:size]

    exchanged = private.exchange(X25519PublicKey.from_public_bytes(shared))
    secret = expand(kem, extract(kem, b"", b"eae_prk", exchanged), b"shared_secret", shared + public, 32)
    info = b"kleidia-backup/v2 slot" + DIGEST
    context = b"\0" + extract(hpke, b"", b"psk_id_hash", b"") + extract(hpke, b"", b"info_hash", info)
    schedule = extract(hpke, secret, b"secret", b"")
    key, nonce = expand(hpke, schedule, b"key", context, 32), expand(hpke, schedule, b"base_nonce", context, 12)
    assert AESGCM(key).decrypt(nonce, ciphertext, b"") == DATA_KEY


def test_each_slot_opens_alone() -> None:
    """Two passwords, two keys and slots that we cannot open: the same data key by each."""
    second = seal_password("second", DATA_KEY, DIGEST, t=2, m=64, p=1)
    unknown = Unknown(type="future", others='{"x":1}')
    found = parse(encode([unknown, TRANSIT, SLOT, *RECIPIENTS.values(), second]))
    for text in (PASSWORD, "second"):
        assert open_slots(found, DIGEST, password=text) == DATA_KEY
    for key in KEYS.values():
        stranger = PrivateKey.generate(key.kem)
        assert open_slots(found, DIGEST, identities=[stranger, key], password="wrong") == DATA_KEY


def test_what_fits_no_slot(derivations: list[dict[str, Any]]) -> None:
    """A wrong password costs one derivation for each slot, a wrong key or nothing costs none."""
    found: list[Slot] = [SLOT, RECIPIENTS["x25519"], seal_password("second", DATA_KEY, DIGEST, t=1, m=32, p=4)]
    derivations.clear()
    stranger = PrivateKey.generate("x25519")
    for arguments, cost in (({"password": "wrong"}, 2), ({"identities": [stranger]}, 0), ({}, 0)):
        derivations.clear()
        with pytest.raises(WrongPassword):
            open_slots(found, DIGEST, **arguments)
        assert len(derivations) == cost
    with pytest.raises(WrongPassword):
        open_slots([RECIPIENTS["x25519"]], DIGEST, password=PASSWORD)
    assert not derivations


def test_no_more_work_than_needed(derivations: list[dict[str, Any]]) -> None:
    """A key at hand costs no derivation, and the first password that fits ends the search."""
    found: list[Slot] = [SLOT, SLOT, RECIPIENTS["x25519"]]
    open_slots(found, DIGEST, password=PASSWORD, identities=[KEYS["x25519"]])
    assert not derivations
    open_slots(found, DIGEST, password=PASSWORD)
    assert [call["memory_cost"] for call in derivations] == [32]


def test_empty_password() -> None:
    """An empty password is a password here; who may choose one is not the format's question."""
    found = [seal_password("", DATA_KEY, DIGEST, t=1, m=8, p=1)]
    assert open_slots(found, DIGEST, password="") == DATA_KEY


REQUIRED: list[tuple[Slot, str]] = [
    *((SLOT, name) for name in ("type", "kdf", "t", "m", "p", "salt", "check", "wrapped")),
    *((slot, name) for slot in RECIPIENTS.values() for name in ("type", "key", "sealed")),
    *((TRANSIT, name) for name in ("type", "mount", "name", "wrapped")),
]


@pytest.mark.parametrize("value", [..., None, 1.5, [], {}, True, ""])
@pytest.mark.parametrize(("slot", "name"), REQUIRED, ids=lambda part: part if isinstance(part, str) else "")
def test_members(slot: Slot, name: str, value: object) -> None:
    """A member is missing, of another type, or empty. An empty type is one that we do not know."""
    if name == "type" and value == "":
        assert isinstance(parse(slots(changed(slot, type="")))[0], Unknown)
    else:
        assert damaged(SLOT.members(), changed(slot, **{name: value}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kdf", "argon2i"),
        ("kdf", "Argon2id"),
        ("kdf", "scrypt"),
        ("t", 0),
        ("t", 17),
        ("t", -1),
        ("t", "3"),
        ("m", 31),
        ("m", 262145),
        ("m", 2**32),
        ("m", 2**53),
        ("p", 0),
        ("p", 5),  # the least m for it is 40
        ("p", 17),
        ("salt", encoded(bytes(15))),
        ("salt", encoded(bytes(17))),
        ("salt", encoded(bytes(16)) + "\n"),
        ("check", encoded(bytes(31))),
        ("check", encoded(bytes(33))),
        ("check", bytes(32).hex()),
        ("wrapped", encoded(bytes(47))),
        ("wrapped", encoded(bytes(49))),
        ("wrapped", "*" * 64),
    ],
)
def test_password_limits(name: str, value: object) -> None:
    """A member of a password's slot is of another length, or beyond its limit."""
    assert damaged(changed(SLOT, **{name: value}))


@pytest.mark.parametrize(("name", "value"), [("t", 1), ("t", 16), ("m", 32), ("m", 262144), ("p", 1), ("p", 4)])
def test_at_the_limits(name: str, value: object) -> None:
    """The limits themselves are allowed."""
    assert isinstance(parse(slots(changed(SLOT, **{name: value})))[0], Password)
    assert isinstance(parse(slots(changed(SLOT, p=16, m=128)))[0], Password)


def test_all_the_work_of_one_password() -> None:
    """The sum over all slots is limited: eight of ours fit, and so does one that takes all of it."""
    assert len(parse(slots(*[changed(SLOT, t=3, m=65536)] * 8))) == 8
    assert len(parse(slots(changed(SLOT, t=8, m=262144)))) == 1
    assert len(parse(slots(*[changed(SLOT, t=16, m=16384)] * 8))) == 8
    assert damaged(*[changed(SLOT, t=16, m=16384)] * 7, changed(SLOT, t=16, m=16385))
    assert damaged(changed(SLOT, t=8, m=262144), SLOT.members())


@pytest.mark.parametrize("kem", KEMS)
def test_recipient_limits(kem: Kem) -> None:
    """The sealed key has one length, and the key's name is 16 hex digits."""
    slot = RECIPIENTS[kem]
    assert len(slot.sealed) == {"x25519": 80, "mlkem768-x25519": 1168}[kem]
    for name, value in (
        ("sealed", encoded(slot.sealed[:-1])),
        ("sealed", encoded(slot.sealed + b"x")),
        ("key", slot.key[:-1]),
        ("key", slot.key + "0"),
        ("key", slot.key.upper().replace("0", "A")[:15] + "A"),
        ("key", slot.key[:-1] + "\n"),
    ):
        assert damaged(changed(slot, **{name: value}))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b"[]",
        b'{"slots": {}}',
        b'{"slots": null}',
        b'{"slots": []}',
        b'{"slots": [1]}',
        b'{"slots": [[]]}',
        b'{"slots": [null]}',
        b'{"slots": [{}]}',
        b'{"slots": [{"type": "x"}], "more": 1}',
        b'{"slots": [{"type": "x"}], "slots": [{"type": "x"}]}',
        b'{"slots": [{"type": "x", "type": "y"}]}',
        b'{"slots": [{"type": "x", "n": 1.0}]}',
        b'{"slots": [{"type": "x", "n": NaN}]}',
        b'{"slots": [{"type": "x"}]}\0',
        b'{"slots": [{"type": "x"}]} {}',
        b'{"slots": [{"type": "x"}',
        b'\xef\xbb\xbf{"slots": [{"type": "x"}]}',
        b"[" * 65000,
    ],
    ids=lambda _: "case",
)
def test_no_slots(raw: bytes) -> None:
    """The rules of JSON and of the array."""
    with pytest.raises(DamagedArchive) as caught:
        parse(raw.ljust(4096))
    assert caught.value.layer == "slots"


def test_how_many() -> None:
    """At most 64 slots, 8 of them for passwords, and not Transit alone."""
    future = {"type": "future"}
    assert len(parse(slots(*[future] * 64))) == 64
    assert damaged(*[future] * 65)
    assert damaged(*[future] * 3000)
    assert len(parse(slots(*[SLOT.members()] * 8, future))) == 9
    assert damaged(*[SLOT.members()] * 9)
    assert damaged(TRANSIT.members())
    assert damaged(TRANSIT.members(), TRANSIT.members())
    assert len(parse(slots(TRANSIT.members(), SLOT.members()))) == 2


@pytest.mark.parametrize(
    "hostile",
    [
        [changed(SLOT, m=2**32 - 1)],
        [changed(SLOT, t=2**32 - 1)],
        [SLOT.members(), changed(SLOT, m=262145)],
        [*[SLOT.members()] * 7, changed(SLOT, t=17)],
        [changed(SLOT, t=9, m=262144)],
        [changed(SLOT, t=8, m=262144), SLOT.members()],
        [*[changed(SLOT, t=16, m=262144)] * 9],
        [*[changed(SLOT, t=16, m=262144)] * 64],
        [SLOT.members(), changed(TRANSIT, wrapped=1)],
    ],
    ids=lambda _: "case",
)
def test_nothing_is_computed_for_hostile_slots(hostile: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    """One slot beyond a limit, wherever it stands, and no derivation begins."""

    def never(*_: object, **__: object) -> bytes:
        raise AssertionError("a key was derived")

    monkeypatch.setattr(module, "hash_secret_raw", never)
    with pytest.raises(DamagedArchive):
        open_slots(parse(slots(*hostile)), DIGEST, password=PASSWORD)


def test_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has no memory for the derivation, that is what is said."""

    def derive(*_: object, **__: object) -> bytes:
        raise HashingError("Memory allocation error")

    monkeypatch.setattr(module, "hash_secret_raw", derive)
    with pytest.raises(UnsupportedArchive, match="memory"):
        open_slots([SLOT], DIGEST, password=PASSWORD)


def flip(raw: bytes, at: int) -> bytes:
    """One bit changed."""
    return raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]


@pytest.mark.parametrize("at", [0, 31, 32, 47])
def test_wrapped_key_damaged(at: int) -> None:
    """The check is right and the wrapped key is damaged: the password is right, the archive is not."""
    slot = changed(SLOT, wrapped=encoded(flip(SLOT.wrapped, at)))
    with pytest.raises(DamagedArchive) as caught:
        open_slots(parse(slots(slot)), DIGEST, password=PASSWORD)
    assert caught.value.layer == "slots"
    with pytest.raises(WrongPassword):
        open_slots(parse(slots(slot)), DIGEST, password="wrong")


@pytest.mark.parametrize(
    "change",
    [
        {"t": 2},
        {"m": 40},
        {"p": 3},
        {"salt": encoded(flip(SLOT.salt, 0))},
        {"check": encoded(flip(SLOT.check, 31))},
    ],
    ids=lambda change: next(iter(change)),
)
def test_changed_parameters(change: dict[str, object]) -> None:
    """A changed parameter, salt or check: the password no longer fits, and nothing is decrypted."""
    with pytest.raises(WrongPassword):
        open_slots(parse(slots(changed(SLOT, **change))), DIGEST, password=PASSWORD)


@pytest.mark.parametrize("kem", KEMS)
@pytest.mark.parametrize("at", [0, 31, 40, -48, -1])
def test_sealed_key_damaged(kem: Kem, at: int) -> None:
    """A changed bit anywhere in what HPKE sealed, for a key that is named by the slot."""
    sealed = RECIPIENTS[kem].sealed
    slot = changed(RECIPIENTS[kem], sealed=encoded(flip(sealed, at % len(sealed))))
    with pytest.raises(DamagedArchive) as caught:
        open_slots(parse(slots(slot)), DIGEST, identities=[KEYS[kem]])
    assert caught.value.layer == "slots"


@pytest.mark.parametrize("kem", KEMS)
def test_sealed_key_of_zeros(kem: Kem) -> None:
    """An encapsulated key that has no shared secret (a point of low order) is damage too."""
    slot = changed(RECIPIENTS[kem], sealed=encoded(bytes(len(RECIPIENTS[kem].sealed))))
    with pytest.raises(DamagedArchive):
        open_slots(parse(slots(slot)), DIGEST, identities=[KEYS[kem]])


@pytest.mark.parametrize("kem", KEMS)
def test_key_renamed(kem: Kem) -> None:
    """A slot that names another key is for somebody else."""
    slot = changed(RECIPIENTS[kem], key="0" * 16)
    with pytest.raises(WrongPassword):
        open_slots(parse(slots(slot)), DIGEST, identities=[KEYS[kem]])


@pytest.mark.parametrize(
    "opened",
    [
        lambda digest: open_slots([SLOT], digest, password=PASSWORD),
        *(lambda digest, kem=kem: open_slots([RECIPIENTS[kem]], digest, identities=[KEYS[kem]]) for kem in KEMS),
    ],
    ids=["password", *KEMS],
)
def test_slot_of_another_archive(opened: Callable[[bytes], bytes]) -> None:
    """The same password or key, and facts that the slot was not sealed for."""
    assert opened(DIGEST) == DATA_KEY
    with pytest.raises(DamagedArchive) as caught:
        opened(flip(DIGEST, 0))
    assert caught.value.layer == "slots"


def test_two_slots_share_nothing() -> None:
    """The same password gives another salt, check and wrapped key each time."""
    other = seal_password(PASSWORD, DATA_KEY, DIGEST, t=1, m=32, p=4)
    assert not {SLOT.salt, SLOT.check, SLOT.wrapped} & {other.salt, other.check, other.wrapped}
    again = seal_public(KEYS["x25519"].public, DATA_KEY, DIGEST)
    assert again.sealed[:32] != RECIPIENTS["x25519"].sealed[:32]


def test_what_we_do_not_know_is_kept() -> None:
    """Slots of other types, and members of ours that we do not know, are written again as they were."""
    future = {"type": "tpm", "a": [1, {"b": None}], "ü": "\n", "n": 2**53}
    known: list[Slot] = [SLOT, TRANSIT, *RECIPIENTS.values()]
    found = [future, *(changed(slot, new={"x": [True]}) for slot in known)]
    again = json.loads(encode(parse(slots(*found, size=8192))))
    assert again == {"slots": found}
    assert open_slots(parse(slots(*found)), DIGEST, password=PASSWORD) == DATA_KEY


@pytest.mark.parametrize(
    ("given_slots", "size"),
    [
        ([], None),
        ([Unknown(type="x")] * 65, None),
        ([SLOT] * 9, None),
        ([replace(SLOT, t=9, m=262144)], None),
        ([TRANSIT], None),
        ([SLOT, Transit(mount="", name="n", wrapped="w")], None),
        ([SLOT, Transit(mount="m", name="\ud800", wrapped="w")], None),
        ([seal_password(PASSWORD, DATA_KEY[1:], DIGEST, t=1, m=8, p=1)], None),
        ([seal_password(PASSWORD, DATA_KEY, DIGEST, t=17, m=8, p=1)], None),
        ([SLOT, Transit(mount="m", name="n", wrapped="w" * 65536)], None),
        ([SLOT, Transit(mount="m", name="n", wrapped="w" * 4096)], 4096),
        ([SLOT], 5000),
        ([SLOT], 0),
        ([SLOT], 69632),
    ],
    ids=lambda _: "case",
)
def test_what_cannot_be_written(given_slots: list[Slot], size: int | None) -> None:
    """A writer refuses what a reader would."""
    with pytest.raises(PayloadError):
        encode(given_slots, size)


@given(st.binary(max_size=40), st.integers(0, 400))
def test_no_other_error(noise: bytes, at: int) -> None:
    """Whatever is overwritten in the slots: an error of archives, or the data key."""
    raw = slots(TRANSIT.members(), RECIPIENTS["x25519"].members(), SLOT.members())
    raw = (raw[:at] + noise + raw[at + len(noise) :])[:4096]
    with suppress(ArchiveError):
        assert open_slots(parse(raw), DIGEST, identities=[KEYS["x25519"]]) == DATA_KEY


def said(error: BaseException) -> str:
    """All that an error says, its causes and their traces too."""
    return "".join(traceback.format_exception(error)) + repr(error) + str(error)


def test_no_secret_is_said() -> None:
    """No password, key or data key in what is shown of slots, and in errors, also where UTF-8 fails."""
    spoiled = PASSWORD + "\ud800"
    words = [repr(SLOT), str(SLOT), *map(repr, RECIPIENTS.values()), repr(TRANSIT)]
    assert "vault:v1" not in words[-1]
    attempts: list[Callable[[], object]] = [
        lambda: open_slots([SLOT], DIGEST, password=PASSWORD + "x"),
        lambda: open_slots([SLOT], bytes(32), password=PASSWORD),
        lambda: open_slots([SLOT], DIGEST, password=spoiled),
        lambda: seal_password(spoiled, DATA_KEY, DIGEST),
        lambda: open_slots([RECIPIENTS["x25519"]], bytes(32), identities=list(KEYS.values())),
        lambda: parse(slots(changed(SLOT, kdf=PASSWORD))),
        lambda: parse(slots({"type": [PASSWORD]})),
        lambda: parse(f'{{"slots": {PASSWORD}}}'.encode()),
    ]
    for attempt in attempts:
        with pytest.raises(ArchiveError) as caught:
            attempt()
        assert caught.value.__cause__ is None
        context = caught.value.__context__
        assert context is None or caught.value.__suppress_context__
        words.append(said(caught.value))
    for word in words:
        assert "7f3a" not in word.replace(__file__, "")
        assert encoded(DATA_KEY)[:8] not in word
        assert repr(DATA_KEY)[2:-1] not in word
        assert "kkkkkkkk" not in word


def test_slot_of_real_facts() -> None:
    """The digest that heads use."""
    raw = facts()
    found = password(raw)
    with pytest.raises(DamagedArchive):
        open_slots([found], DIGEST, password=PASSWORD)
