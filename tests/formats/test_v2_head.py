"""The head of format V2: what is encoded is read, and every single fault has its error and its layer."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, get_args

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from kleidia_backup.formats.errors import (
    ArchiveError,
    DamagedArchive,
    NotAnArchive,
    PayloadError,
    UnsupportedArchive,
)
from kleidia_backup.formats.facts import BackupType
from kleidia_backup.formats.v2.facts import ArchiveFacts
from kleidia_backup.formats.v2.head import (
    MAX_HEAD,
    Head,
    encode_head,
    facts_digest,
    header_key,
    payload_key,
    replace_slots,
)
from kleidia_backup.formats.v2.keys.pairs import PrivateKey
from kleidia_backup.formats.v2.keys.signature import check, sign
from kleidia_backup.formats.v2.keys.slots import Transit, open_slots, seal_public

from .v2_heads import BODY, DATA_KEY, FACTS, PASSWORD, PLAIN, SIGNING_KEY, digest, facts, head, password, slots

PLAIN_SLOTS = slots(password(facts()).members())
GOOD = head(facts(), PLAIN_SLOTS)

UTF8 = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
ALL_FACTS = st.builds(
    ArchiveFacts,
    # What a tar header has room for, from the first second to the last.
    created_at=st.integers(0, 8**11 - 1).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
    backup_type=st.sampled_from(get_args(BackupType)),
    includes_db=st.booleans(),
    includes_kv=st.booleans(),
    includes_audit=st.booleans(),
    id=st.uuids().map(str),
    system=UTF8,
    signer=st.sampled_from([b"", bytes(32), b"k" * 32]),
    tool=UTF8,
)


def damage(data: bytes) -> str:
    """The layer that notices."""
    with pytest.raises(DamagedArchive) as caught:
        Head.parse(data)
    return caught.value.layer


def damaged_facts(raw: bytes) -> bool:
    """Whether these facts are damage of the header, in a head that is else right."""
    return damage(head(raw, PLAIN_SLOTS) + BODY) == "header"


@given(ALL_FACTS)
def test_facts_identity(given_facts: ArchiveFacts) -> None:
    """Encode then decode is the identity, and ``about`` is there for people."""
    raw = given_facts.encode()
    assert ArchiveFacts.decode(raw) == given_facts
    assert "SPEC.md" in json.loads(raw)["about"]


def test_facts_of_somebody_else() -> None:
    """Facts are read in any order, with members that we do not know, and with white space around them."""
    raw = b" \r\n\t" + json.dumps(dict(reversed((FACTS | {"other": [None, {"x": 2**53}]}).items()))).encode() + b"\n "
    found = ArchiveFacts.decode(raw)
    assert found == replace(PLAIN, tool="a test")


def test_head_identity() -> None:
    """What the writer wrote is read, whatever follows; the sizes are those of the page."""
    raw_facts = PLAIN.encode()
    slot = password(raw_facts)
    raw = encode_head(PLAIN, [slot], DATA_KEY)
    found = Head.parse(raw + BODY + b"more")
    assert (found.facts, found.slots, found.size) == (PLAIN, (slot,), len(raw))
    assert found.facts_digest == facts_digest(raw_facts) == digest(raw_facts)
    assert len(raw) == 57 + len(raw_facts) + 4096
    assert raw == head(raw_facts, raw[25 + len(raw_facts) : -32])
    found.check(open_slots(found.slots, found.facts_digest, password=PASSWORD))


def test_head_of_a_second_writer() -> None:
    """A head that was made by the page alone is read, and its MAC is right."""
    found = Head.parse(GOOD + BODY)
    assert found.facts_digest == digest(facts())
    found.check(DATA_KEY)


def test_the_largest_head_fits() -> None:
    """MAX_HEAD bytes are enough for facts and slots of 64 KiB, and no byte is left over."""
    raw_facts = facts().ljust(65536)
    data = head(raw_facts, slots(password(raw_facts).members(), size=65536)) + BODY
    assert len(data) == MAX_HEAD
    Head.parse(data).check(DATA_KEY)


def test_keys_are_derived_by_the_page() -> None:
    """HKDF-SHA-256, empty salt, 32 bytes; the two keys differ."""
    for info, key in ((b"header", header_key(DATA_KEY)), (b"payload", payload_key(DATA_KEY))):
        hkdf = HKDF(algorithm=SHA256(), length=32, salt=b"", info=b"kleidia-backup/v2 " + info)
        assert key == hkdf.derive(DATA_KEY)


@pytest.mark.parametrize(
    "data", [b"", b"K", GOOD[:16], b"KLEIDIA_BACKUP_Vx" + GOOD[17:], b"kleidia" + GOOD[7:], b"\n" + GOOD]
)
def test_no_archive(data: bytes) -> None:
    """Any other beginning, also a part of the magic."""
    with pytest.raises(NotAnArchive):
        Head.parse(data + BODY if len(data) > 17 else data)


@pytest.mark.parametrize("digit", [b"0", b"1", b"3", b"9"])
def test_another_version(digit: bytes) -> None:
    """Another digit in the magic."""
    with pytest.raises(UnsupportedArchive):
        Head.parse(GOOD[:16] + digit + GOOD[17:] + BODY)


@pytest.mark.parametrize("version", [0, 1, 3, -1, 2**53])
def test_another_version_of_the_facts(version: int) -> None:
    """Another number is another version, whatever else is in the facts."""
    with pytest.raises(UnsupportedArchive):
        Head.parse(head(facts(version=version, id=...), PLAIN_SLOTS) + BODY)


def test_cut_anywhere() -> None:
    """A file that ends anywhere before the smallest body's end is damaged; behind the magic it is an archive."""
    data = GOOD + BODY
    assert {damage(data[:end]) for end in [*range(17, 600), *range(600, len(data), 97), len(data) - 1]} == {"header"}
    Head.parse(data)


@pytest.mark.parametrize("length", [65537, 2**31, 2**32 - 1])
def test_facts_too_long(length: int) -> None:
    """F is compared with its limit before anything is cut by it, also where the file holds so many right facts."""
    assert damage(head(facts().ljust(65537), PLAIN_SLOTS) + BODY) == "header"
    assert damage(GOOD[:17] + length.to_bytes(4, "big") + GOOD[21:] + bytes(200_000)) == "header"


@pytest.mark.parametrize("length", [0, 1, 4095, 4097, 8191, 65537, 69632, 2**32 - 4096])
def test_size_of_slots(length: int) -> None:
    """K is a multiple of 4,096, from 4,096 to 65,536."""
    at = 21 + len(facts())
    data = GOOD[:at] + length.to_bytes(4, "big") + PLAIN_SLOTS.ljust(200_000)
    assert damage(data) == "header"


MEMBERS = ["version", "id", "created_at", "backup_type", "includes_db", "includes_kv", "includes_audit"]


@pytest.mark.parametrize("name", MEMBERS)
def test_missing_member(name: str) -> None:
    """A member that is not optional is missing."""
    assert damaged_facts(facts(**{name: ...}))


@pytest.mark.parametrize("name", ["system", "signer", "tool", "about"])
def test_optional_member(name: str) -> None:
    """An optional one is missing."""
    Head.parse(head(facts(**{name: ...}), PLAIN_SLOTS) + BODY)


@pytest.mark.parametrize("value", [None, [], {}, 7, 1.5])
@pytest.mark.parametrize("name", [*MEMBERS[1:], "system", "signer", "tool", "about"])
def test_wrong_type(name: str, value: object) -> None:
    """A member has a value of another type; null is one."""
    assert damaged_facts(facts(**{name: value}))


@pytest.mark.parametrize("value", [None, [], {}, True, "2", 2.0])
def test_wrong_type_of_the_version(value: object) -> None:
    """The version is no integer."""
    assert damaged_facts(facts(version=value))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("id", ""),
        ("id", "6f1c8a521d0e4f0a9a570b7e1f2d3c4b"),
        ("id", "6F1C8A52-1D0E-4F0A-9A57-0B7E1F2D3C4B"),
        ("id", "6f1c8a52-1d0e-4f0a-9a57-0b7e1f2d3c4b\n"),
        ("created_at", "2026-01-17T12:00:00+00:00"),
        ("created_at", "2026-01-17T12:00:00.5Z"),
        ("created_at", "2026-01-17t12:00:00z"),
        ("created_at", "2026-02-30T12:00:00Z"),
        ("created_at", "1969-12-31T23:59:59Z"),
        ("created_at", "2242-03-16T12:56:32Z"),
        ("created_at", "2026-01-17T12:00:00Z\n"),
        ("created_at", "٢٠٢٦-01-17T12:00:00Z"),
        ("backup_type", "Full"),
        ("backup_type", ""),
        ("signer", ""),
        ("signer", "AAAA"),
        ("signer", "A" * 43),
        ("signer", "A" * 43 + "=\n"),
        ("signer", "A" * 42 + "B="),
        ("signer", "_" * 43 + "="),
        ("signer", "ä" * 43 + "="),
    ],
)
def test_wrong_value(name: str, value: str) -> None:
    """A member has the right type, and no value that the page allows."""
    assert damaged_facts(facts(**{name: value}))


def with_text(text: str) -> bytes:
    """The facts with a member whose value is this text, or with whatever breaks out of it."""
    return facts()[:-1] + b', "other": ' + text.encode("utf-8", "surrogatepass") + b"}"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"2",
        b"null",
        b'"text"',
        facts()[:-1],
        facts() + b"x",
        facts() + b"\0",
        facts() + facts(),
        b"\xef\xbb\xbf" + facts(),
        facts().decode().encode("utf-16"),
        with_text('"\ud800"'),
        with_text('"\\ud800"'),
        with_text('"\\udc00\\ud800"'),
        with_text('["\\ud83d"]'),
        with_text('{"\\ud83d": 1}'),
        with_text('"\xff"').replace("\xff".encode(), b"\xff"),
        with_text('"\n"'),
        with_text('"\\x"'),
        with_text("NaN"),
        with_text("-Infinity"),
        with_text("1.0"),
        with_text("1e2"),
        with_text("1E0"),
        with_text("-0.0"),
        with_text("01"),
        with_text(str(2**53 + 1)),
        with_text(str(-(2**53) - 1)),
        with_text("9" * 60_000),
        with_text("'x'"),
        with_text("[1,]"),
        with_text("/**/1"),
        with_text('1, "other": 1'),
        with_text('1, "version": 2'),
        with_text('1, "\\u0076ersion": 2'),
        with_text('{"a": 1, "a": 1}'),
        with_text("[" * 30_000 + "]" * 30_000),
        with_text("[" * 64 + "]" * 64),
    ],
    ids=lambda _: "case",
)
def test_json_rules(raw: bytes) -> None:
    """What is no JSON by the rules of section 3, wherever in the facts."""
    assert damaged_facts(raw)


@pytest.mark.parametrize(
    "text", [str(2**53), "-1", "0", '"\\ud83d\\ude00"', '"😀"', "[null]", "{}", "[" * 63 + "]" * 63]
)
def test_json_that_is_right(text: str) -> None:
    """What those rules allow."""
    Head.parse(head(with_text(text), PLAIN_SLOTS) + BODY)


def test_order_of_the_checks() -> None:
    """Magic, F, facts, K, the file's size, the slots: of two faults the earlier one is named."""
    wrong_slots = b"{}".ljust(4096)
    with pytest.raises(UnsupportedArchive):
        Head.parse(head(facts(version=3), wrong_slots)[:700])
    assert damage(head(facts(id=""), wrong_slots) + BODY) == "header"
    assert damage(head(facts(), wrong_slots) + BODY[1:]) == "header"
    assert damage(head(facts(), wrong_slots) + BODY) == "slots"


def test_every_bit_under_the_mac() -> None:
    """A changed byte in front of the body, that is still read, does not pass the MAC; nor does the MAC changed."""
    passed = []
    for at in [*range(17, 500), *range(500, len(GOOD) - 40, 101), *range(len(GOOD) - 40, len(GOOD))]:
        data = GOOD[:at] + bytes([GOOD[at] ^ 1]) + GOOD[at + 1 :]
        with suppress(ArchiveError):
            found = Head.parse(data + BODY)
            passed.append(at)
            with pytest.raises(DamagedArchive) as caught:
                found.check(DATA_KEY)
            assert caught.value.layer == "header"
    assert set(range(len(GOOD) - 32, len(GOOD))) < set(passed)
    assert min(passed) < 21 + len(facts()), "some facts were changed and read"


def test_mac_of_another_key() -> None:
    """The right head with another data key."""
    with pytest.raises(DamagedArchive) as caught:
        Head.parse(GOOD + BODY).check(bytes(32))
    assert caught.value.layer == "header"


def test_changed_facts_do_not_fit_the_slots() -> None:
    """Facts with a slot that was sealed for others, under a MAC that is right: the slot does not open."""
    other = head(facts(system="prod-2"), PLAIN_SLOTS)
    found = Head.parse(other + BODY)
    with pytest.raises(DamagedArchive) as caught:
        open_slots(found.slots, found.facts_digest, password=PASSWORD)
    assert caught.value.layer == "slots"


@pytest.mark.parametrize("kind", ["x25519", "transit"])
def test_slots_that_ask_for_a_signer(kind: str) -> None:
    """An archive with a slot that anybody can make is refused without a signer, written or read."""
    signed = replace(PLAIN, signer=SIGNING_KEY.public.raw)
    for written, allowed in ((PLAIN, False), (signed, True)):
        raw_facts = written.encode()
        public = PrivateKey("x25519", b"p" * 32).public
        other: Any = (
            seal_public(public, DATA_KEY, digest(raw_facts))
            if kind == "x25519"
            else Transit(mount="transit", name="backup", wrapped="vault:v1:x")
        )
        both = [password(raw_facts), other]
        found = Head.parse(head(raw_facts, slots(*(slot.members() for slot in both))) + BODY)
        if allowed:
            found.check(DATA_KEY)
            assert Head.parse(encode_head(written, both, DATA_KEY) + BODY).slots == tuple(both)
            continue
        with pytest.raises(DamagedArchive) as caught:
            found.check(DATA_KEY)
        assert caught.value.layer == "signature"
        with pytest.raises(PayloadError, match="signed"):
            encode_head(written, both, DATA_KEY)
        with pytest.raises(PayloadError, match="signed"):
            replace_slots(Head.parse(encode_head(PLAIN, both[:1], DATA_KEY) + BODY), both, DATA_KEY)


def test_replaced_slots() -> None:
    """Facts stay byte for byte, also those that we would write otherwise; K may change; the old password is gone."""
    raw_facts = b" " + facts(other=[1])
    found = Head.parse(head(raw_facts, slots(password(raw_facts).members(), size=65536)) + BODY)
    raw = replace_slots(found, [password(raw_facts, "another")], DATA_KEY)
    again = Head.parse(raw + BODY)
    assert raw.startswith(found.raw[: 21 + len(raw_facts)])
    assert again.size == found.size - 65536 + 4096
    again.check(open_slots(again.slots, again.facts_digest, password="another"))
    assert again.facts_digest == found.facts_digest


def test_slots_of_a_changed_head_are_not_replaced() -> None:
    """A head that does not fit its MAC gets no new MAC."""
    found = Head.parse(GOOD[:-1] + bytes([GOOD[-1] ^ 1]) + BODY)
    with pytest.raises(DamagedArchive):
        replace_slots(found, found.slots, DATA_KEY)


@pytest.mark.parametrize(
    "wrong",
    [
        replace(PLAIN, id="no UUID"),
        replace(PLAIN, signer=b"short"),
        replace(PLAIN, version=3),
        replace(PLAIN, system="x" * 65536),
        replace(PLAIN, system="\ud800"),
    ],
    ids=lambda _: "case",
)
def test_facts_that_cannot_be_written(wrong: ArchiveFacts) -> None:
    """A writer finds them, no reader has to."""
    with pytest.raises(PayloadError):
        encode_head(wrong, [password(PLAIN.encode())], DATA_KEY)


@given(st.binary(max_size=300), st.integers(0, len(GOOD) - 1))
def test_no_other_error(noise: bytes, at: int) -> None:
    """Whatever is overwritten: an error of archives, or a head that the MAC refuses, if it is another one."""
    data = GOOD[:at] + noise + GOOD[at + len(noise) :]
    with suppress(ArchiveError):
        found = Head.parse(data + BODY)
        if found.raw != GOOD:
            with pytest.raises(DamagedArchive):
                found.check(DATA_KEY)


def test_signature() -> None:
    """A signature fits its signer, facts and index, and nothing else."""
    signer, signature = SIGNING_KEY.public.raw, sign(SIGNING_KEY, b"f" * 32, b"i" * 32)
    assert len(signature) == 64
    assert signature == SIGNING_KEY.sign(b"kleidia-backup/v2 signature\n" + b"f" * 32 + b"i" * 32)
    check(signer, signature, b"f" * 32, b"i" * 32)
    wrong = [
        (bytes(32), signature, b"f" * 32, b"i" * 32),
        (signer[:-1], signature, b"f" * 32, b"i" * 32),
        (signer, signature[:-1], b"f" * 32, b"i" * 32),
        (signer, b"", b"f" * 32, b"i" * 32),
        (signer, bytes(64), b"f" * 32, b"i" * 32),
        (signer, signature, b"F" + b"f" * 31, b"i" * 32),
        (signer, signature, b"f" * 32, b"I" + b"i" * 31),
        (signer, signature, b"i" * 32, b"f" * 32),
    ]
    for arguments in wrong:
        with pytest.raises(DamagedArchive) as caught:
            check(*arguments)
        assert caught.value.layer == "signature"
