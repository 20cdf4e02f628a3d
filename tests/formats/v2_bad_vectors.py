"""Archives of format V2 with one fault each, and the layer that must notice it: the head and the body."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from .v2_bad_payloads import bad_payloads
from .v2_good_vectors import KEY, large, many_slots
from .v2_second_writer import (
    FACTS,
    SIGNER,
    Floe,
    Json,
    flip,
    password_slot,
    to_json,
    x25519_slot,
)
from .v2_vector import Vector, bad, file, good


def bad_vectors() -> Iterator[Vector]:
    """All of them, in the order of the layers."""
    yield from _cuts()
    yield from _magic()
    yield from _lengths()
    yield from _facts()
    yield from _slots()
    yield from _public_key_slots()
    yield from _passwords()
    yield from _mac()
    yield from _seal()
    yield from _two_segments()
    yield from bad_payloads()


def _cuts() -> Iterator[Vector]:
    archive, data = good(), good().build()
    facts = len(archive.head_of_facts())
    body = facts + 4 + 4096 + 32
    for name, end, expect in (
        ("empty", 0, "magic"),
        ("in-magic", 8, "magic"),
        ("after-magic", 17, "header"),
        ("in-length", 19, "header"),
        ("after-length", 21, "header"),
        ("in-facts", facts - 9, "header"),
        ("after-facts", facts, "header"),
        ("after-slots-length", facts + 4, "header"),
        ("in-slots", facts + 900, "header"),
        ("in-mac", body - 5, "header"),
        ("after-mac", body, "header"),
        ("after-body-header", body + 74, "header"),
        ("too-short-for-a-segment", body + 74 + 31, "header"),
        ("in-segment", body + 5000, "seal"),
        ("last-byte", len(data) - 1, "seal"),
    ):
        yield file(expect, f"cut-{name}", f"only the first {end} bytes", data[:end])


def _magic() -> Iterator[Vector]:
    data = good().build()
    yield file("magic", "v1", "the magic of version 1 before a body of version 2", data.replace(b"_V2", b"_V1", 1))
    yield file("magic", "v3", "another version", data.replace(b"_V2", b"_V3", 1))
    yield file("magic", "lower-case", "the magic in lower case", data[:17].lower() + data[17:])
    yield file("magic", "late", "one byte before the magic", b"\n" + data)
    yield file("magic", "age", "an age file", b"age-encryption.org/v1\n" + data)
    for version in (0, 1, 3):
        archive = good(facts={**FACTS, "version": version})
        yield bad("magic", f"facts-version-{version}", f"version {version} in the facts", archive)
    text = b'{"version":3}'
    yield bad(
        "magic",
        "facts-version-only",
        "version 3, and nothing else that this version needs",
        good(facts_text=lambda _: text),
    )


def _length(name: str, comment: str, value: int, **hooks: Any) -> Vector:
    which = hooks.pop("which")
    return bad("header", name, comment, good(**{which: lambda _: struct.pack(">I", value)}))


def _lengths() -> Iterator[Vector]:
    size = len(to_json(FACTS))
    for name, value in (("0", 0), ("short", size - 1), ("long", size + 1), ("65537", 65_537), ("4-gib", 2**32 - 1)):
        yield _length(f"facts-length-{name}", f"the facts' length is {value}", value, which="facts_length")
    for value in (0, 4095, 8192 + 1, 69_632, 2**32 - 4096):
        yield _length(f"slots-length-{value}", f"the slots' length is {value}", value, which="slots_length")


def _facts() -> Iterator[Vector]:
    text = to_json(FACTS)
    for name, comment, changed in (
        ("empty", "no facts", b""),
        ("array", "an array", b"[" + text + b"]"),
        ("byte-order-mark", "a byte order mark", b"\xef\xbb\xbf" + text),
        ("something-after", "something behind the object", text + b"{}"),
        ("zero-after", "a zero byte behind the object", text + b"\0"),
        ("invalid-utf-8", "not UTF-8", text[:-1] + b',"tool":"\xff"}'),
        ("lone-surrogate", "half a surrogate pair", text[:-1] + b',"tool":"\\ud800"}'),
        ("control-character", "a control character in a string", text[:-1] + b',"tool":"a\nb"}'),
        ("trailing-comma", "a trailing comma", text[:-1] + b",}"),
        ("nan", "NaN", text[:-1] + b',"later":NaN}'),
        ("twice", "a member twice", text[:-1] + b',"id":"7d444840-9dc0-11d1-b245-5ffdce74fad2"}'),
        ("twice-inside", "a member twice in what nobody knows", text[:-1] + b',"later":{"a":1,"a":1}}'),
        ("version-2.0", "a fraction", text.replace(b'"version":2', b'"version":2.0')),
        ("version-2e0", "an exponent", text.replace(b'"version":2', b'"version":2e0')),
    ):
        yield bad("header", f"facts-{name}", comment, good(facts_text=lambda _, new=changed: new))
    for name in FACTS:
        rest = {key: value for key, value in FACTS.items() if key != name}
        yield bad("header", f"no-{name.replace('_', '-')}", f"no {name}", good(facts=rest))
    wrong: list[tuple[str, str, object]] = [
        ("version", "text", "2"),
        ("version", "true", True),
        ("id", "number", 7),
        ("id", "form", "7d4448409dc011d1b2455ffdce74fad2"),
        ("created_at", "offset", "2026-01-17T12:00:00+00:00"),
        ("created_at", "fraction", "2026-01-17T12:00:00.5Z"),
        ("created_at", "month", "2026-13-17T12:00:00Z"),
        ("created_at", "null", None),
        ("backup_type", "case", "Full"),
        ("backup_type", "other", "half"),
        ("includes_db", "number", 1),
        ("includes_kv", "null", None),
        ("includes_audit", "text", "true"),
        ("system", "null", None),
        ("system", "number", 5),
        ("tool", "array", []),
        ("about", "object", {}),
        ("signer", "short", "AAAA"),
        ("signer", "base64url", "_" * 43 + "="),
    ]
    for member, how, value in wrong:
        name = f"{member.replace('_', '-')}-{how}"
        yield bad("header", name, f"{member} is {value!r}", good(facts={**FACTS, member: value}))


def _slot(name: str, comment: str, **changes: object) -> Vector:
    """A password slot with a member changed, or left out for ``...``."""

    def slots(digest: bytes) -> list[Json]:
        slot = password_slot(digest) | changes
        return [{key: value for key, value in slot.items() if value is not ...}]

    return bad("slots", name, comment, good(slots=slots))


def _slots() -> Iterator[Vector]:
    for name, comment, text in (
        ("not-json", "no JSON", b"slots"),
        ("array", "an array", b"[]"),
        ("none", "no member slots", b"{}"),
        ("empty", "no slot", b'{"slots":[]}'),
        ("object", "an object for an array", b'{"slots":{}}'),
        ("number", "a number for a slot", b'{"slots":[1]}'),
        ("no-type", "a slot without a type", b'{"slots":[{}]}'),
        ("type-number", "a type that is a number", b'{"slots":[{"type":1}]}'),
    ):
        yield bad("slots", f"json-{name}", comment, good(slots_text=lambda _, new=text: new.ljust(4096)))
    yield bad(
        "slots", "json-zeros", "padded with zero bytes", good(slots_text=lambda text: text.replace(b"  ", b"\0\0"))
    )
    twice: Callable[[bytes], bytes] = lambda text: text.replace(b'"t":1', b'"t":1,"t":1')[:4096]  # noqa: E731
    yield bad("slots", "json-twice", "a member twice", good(slots_text=twice))
    yield bad("slots", "65", "65 slots", good(slots=lambda digest: [password_slot(digest)] + [{"type": "later"}] * 64))
    yield bad("slots", "nine-passwords", "nine passwords", good(slots=lambda digest: [password_slot(digest)] * 9))
    for member in ("kdf", "t", "m", "p", "salt", "check", "wrapped"):
        yield _slot(f"no-{member}", f"no {member}", **{member: ...})
    for member, how, value in (
        ("kdf", "argon2i", "argon2i"),
        ("t", "0", 0),
        ("t", "17", 17),
        ("t", "true", True),
        ("t", "text", "1"),
        ("t", "negative", -1),
        ("m", "7", 7),
        ("m", "262145", 262_145),
        ("m", "4-tib", 2**32),
        ("p", "0", 0),
        ("p", "17", 17),
        ("p", "9", 9),
        ("salt", "short", "AAECAwQFBgcICQoLDA0O"),
        ("salt", "line-end", "AAECAwQFBgcICQoLDA0ODw==\n"),
        ("salt", "no-padding", "AAECAwQFBgcICQoLDA0ODw"),
        ("salt", "pad-bits", "AAECAwQFBgcICQoLDA0ODx=="),
        ("check", "number", 5),
        ("check", "short", "AAAA"),
        ("wrapped", "null", None),
        ("wrapped", "short", "AAAA"),
    ):
        yield _slot(f"{member}-{how}", f"{member} is {value!r}", **{member: value})
    last: Callable[[bytes], list[Json]] = lambda d: [password_slot(d), password_slot(d) | {"m": 2**30}]  # noqa: E731
    yield bad("slots", "limit-of-second", "the second slot wants 1 TiB; the first fits", good(slots=last))
    foreign: Callable[[bytes], list[Json]] = lambda _: [password_slot(bytes(32))]  # noqa: E731
    yield bad(
        "slots",
        "of-another-archive",
        "a slot of other facts: its check fits, its data key does not",
        good(slots=foreign),
    )
    data = flip(good().build(), 17 + 4 + 40)
    yield file("slots", "facts-changed", "one bit of the id was changed afterwards", data)


def _public_key_slots() -> Iterator[Vector]:
    def slot(name: str, comment: str, base: Json | None = None, /, **changes: object) -> Vector:
        def slots(digest: bytes) -> list[Json]:
            one = (x25519_slot(digest) if base is None else base) | changes
            return [{key: value for key, value in one.items() if value is not ...}, password_slot(digest)]

        return bad("slots", name, comment, good(slots=slots, sign=SIGNER), trust=True)

    yield slot("x25519-no-key", "no key", key=...)
    yield slot("x25519-key-upper-case", "a key in upper-case hex", key="0123456789ABCDEF")
    yield slot("x25519-key-short", "seven bytes of key", key="0123456789abcd")
    yield slot("x25519-no-sealed", "no sealed", sealed=...)
    yield slot("x25519-sealed-short", "a sealed of three bytes", sealed="AAAA")
    hybrid = many_slots(bytes(32))[1]
    yield slot("hybrid-sealed-short", "a sealed of three bytes", hybrid, sealed="AAAA")
    yield slot("hybrid-no-key", "no key", hybrid, key=...)
    transit = many_slots(bytes(32))[2]
    for member in ("mount", "name", "wrapped"):
        yield slot(f"transit-no-{member}", f"no {member}", transit, **{member: ...})
        yield slot(f"transit-{member}-number", f"{member} is a number", transit, **{member: 5})
    alone = good(slots=lambda _: [transit], sign=SIGNER)
    yield bad("slots", "transit-alone", "a slot of Transit alone", alone, trust=True)

    def changed(digest: bytes) -> list[Json]:
        one = x25519_slot(digest)
        text = str(one["sealed"])
        return [one | {"sealed": text[:60] + ("A" if text[60] != "A" else "B") + text[61:]}]

    archive = good(slots=changed, sign=SIGNER)
    yield bad("slots", "x25519-damaged", "six bits of the sealed data key", archive, key=KEY, trust=True)


def _passwords() -> Iterator[Vector]:
    archive = good()
    for name, password in (("other", "another"), ("empty", ""), ("case", "Correct horse battery staple")):
        yield bad("password", name, "a password that does not fit", archive, password=password)
    yield bad("password", "newline", "a line end too many", archive, password="correct horse battery staple\n")
    yield bad("password", "key", "a private key, and no slot of a public key", archive, key=KEY)
    key = bytes(range(32, 64))
    yield bad(
        "password", "key-other", "a private key for no slot", good(slots=many_slots, sign=SIGNER), key=key, trust=True
    )
    check = "A" * 43 + "="
    wrong: Callable[[bytes], list[Json]] = lambda digest: [password_slot(digest) | {"check": check}]  # noqa: E731
    yield bad("password", "check", "another check: no slot fits", good(slots=wrong))
    unknown = good(slots=lambda _: [{"type": "later"}])
    yield bad("password", "unknown", "only a slot that nobody knows", unknown)


def _mac() -> Iterator[Vector]:
    yield bad("header", "mac-first", "one bit of the MAC", good(mac=lambda mac: flip(mac, 0)))
    yield bad("header", "mac-last", "one bit of the MAC", good(mac=lambda mac: flip(mac, -1)))
    data = good().build()
    at = len(good().head_of_facts()) + 4 + 4095
    yield file(
        "header", "slots-changed", "the last space of the slots became a line end", data[:at] + b"\n" + data[at + 1 :]
    )
    yield file("header", "slots-wider", "4,096 spaces more, with their length, and the old MAC", _wider(data))


def _wider(data: bytes) -> bytes:
    facts = len(good().head_of_facts())
    return data[:facts] + struct.pack(">I", 8192) + data[facts + 4 : facts + 4100] + b" " * 4096 + data[facts + 4100 :]


def _floe(name: str, comment: str, **changes: Any) -> Vector:
    return bad("seal", name, comment, good(floe=lambda floe: replace(floe, **changes)))


def _seal() -> Iterator[Vector]:
    for name, at in (("aead", 0), ("kdf", 1), ("segment-length", 3), ("iv-length", 9), ("iv", 12), ("tag", 73)):
        yield _floe(f"header-{name}", "one bit of the header", header=lambda header, at=at: flip(header, at))
    yield _floe("one-mib-segments", "segments of 1 MiB, all else right", segment=1_048_576)
    yield _floe("key", "another key", key=bytes(32))
    yield _floe("facts", "sealed for other facts", aad=bytes(32))
    for name, at in (("length", 3), ("iv", 5), ("first", 16), ("middle", 5000), ("tag", -1)):
        yield _floe(f"flip-{name}", "one bit of the segment", order=lambda s, at=at: [flip(s[0], at)])
    yield _floe("never-ends", "the last segment's length says that it is not the last", order=_never_ends)
    data = good().build()
    yield file("seal", "extended", "a byte behind the end", data + b"\0")
    yield file("seal", "twice", "the body's only segment twice", data + data[-(10240 + 32) :])
    yield _floe("empty-after", "an empty segment of zero bytes behind the last", order=lambda s: [*s, bytes(32)])


def _never_ends(segments: list[bytes]) -> list[bytes]:
    return [b"\xff\xff\xff\xff" + segments[0][4:]]


def _two_segments() -> Iterator[Vector]:
    """Faults that need a second segment."""

    def two(name: str, comment: str, order: Callable[[list[bytes]], list[bytes]]) -> Vector:
        def change(floe: Floe) -> Floe:
            return replace(floe, order=order)

        return bad("seal", name, comment, large(floe=change))

    yield two("two-first-dropped", "the first of two segments is missing", lambda s: s[1:])
    yield two("two-last-dropped", "cut at the end of the first segment", lambda s: s[:1])
    yield two("two-doubled", "the first segment twice", lambda s: [s[0], *s])
    yield two("two-swapped", "the segments in the other order", lambda s: s[::-1])
    yield two("two-first-flipped", "one bit of the first segment", lambda s: [flip(s[0], 1000), s[1]])
    yield two("two-last-flipped", "one bit of the last segment", lambda s: [s[0], flip(s[1], 1000)])
    yield two(
        "two-not-last",
        "the first segment's length is its own",
        lambda s: [struct.pack(">I", len(s[0])) + s[0][4:], s[1]],
    )
