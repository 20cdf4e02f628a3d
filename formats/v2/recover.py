"""Open an archive (KLEIDIA_BACKUP_V2) without kleidia-backup. Made from SPEC.md alone; it imports nothing of ours.

The archive is only read. You need Python 3.11, tar, zstd, psql, and the password or an X25519 private key.
1. python3 -m venv r && r/bin/pip install cryptography argon2-cffi
2. r/bin/python recover.py ARCHIVE --output payload.tar       (asks for the password; or --password-file F, or --key F)
   payload.tar, all in clear text, appears when every byte was checked. Put it where nobody else reads; delete it then.
3. In bash, with GNU tar (others: without --wildcards), for what the archive has; into a new, empty database: psql -1
   does not protect one in use, for the COMMIT behind large objects ends it early. No pipe into psql: it keeps half.
     set -o pipefail
     tar -xOf payload.tar --wildcards 'db/*' | zstd -d > all.sql && psql -X -v ON_ERROR_STOP=1 -f all.sql NEW_DATABASE
     tar -xOf payload.tar --wildcards 'kv/*' | zstd -d > secrets.jsonl
   One secret a line, {"path": "...", "value": {...}} (without value: deleted): put it by bao kv put -mount=M PATH @FILE
psql runs what the SQL says, programs too, and anybody can encrypt for a public key: with --key be sure who wrote it
(SPEC.md, section 11, checks the signature by hand). Without --output the payload goes to stdout, after all was checked.
"""

import argparse
import base64
import getpass
import hashlib
import hmac
import json
import re
import sys
from collections.abc import Iterator
from datetime import datetime
from itertools import accumulate
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import Any, BinaryIO, NoReturn

from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SLOT, SEGMENT, STRINGS = b"kleidia-backup/v2 slot", 262_144, r'"([^"\\]|\\.)*"'
FORM = "(full|database|vault) [0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12} [0-9]{4}(-[0-9]{2}){2}T[0-9]{2}(:[0-9]{2}){2}Z"
PARAMETERS = bytes(2) + SEGMENT.to_bytes(4, "big") + (32).to_bytes(4, "big")
FLAGS, NOTES = ("includes_db", "includes_kv", "includes_audit"), ("system", "signer", "tool", "about")
FACTS = {"version": int} | dict.fromkeys(("id", "created_at", "backup_type"), str) | dict.fromkeys(FLAGS, bool)
HYBRID, KEY, VAULT = "mlkem768-x25519", {"key": "[0-9a-f]{16}"}, dict.fromkeys(("mount", "name", "wrapped"), "(?s:.+)")
SIZES = {"password": {"salt": 16, "check": 32, "wrapped": 48}, "x25519": {"sealed": 80}, HYBRID: {"sealed": 1168}}
TEXTS = {"password": {"kdf": "argon2id"}, "x25519": KEY, HYBRID: KEY, "transit": VAULT}


def refuse(layer: str, what: str, step: str = "try another copy of the archive") -> NoReturn:
    """End with one line: the layer as the page calls it, what is wrong, the next step."""
    raise SystemExit(f"recover.py: {layer}: {what}; {step}")


def no(word: str) -> NoReturn:  # noqa: D103
    raise ValueError(word[:60])


def strict(text: bytes) -> dict[str, Any]:
    """A JSON object as section 3 wants it; ``ValueError`` otherwise."""
    kinds: dict[str, Any] = {"parse_constant": no, "parse_float": no}
    kinds["object_pairs_hook"] = lambda pairs: dict(pairs) if len(dict(pairs)) == len(pairs) else no("a member twice")
    kinds["parse_int"] = lambda digits: int(digits) if abs(int(digits)) <= 2**53 else no("a number")
    json.dumps(found := json.loads(text.decode(), **kinds), ensure_ascii=False).encode()  # finds half a surrogate pair
    levels = max(accumulate((byte in "[{") - (byte in "]}") for byte in re.sub(STRINGS, "", text.decode())))
    return found if isinstance(found, dict) and levels <= 64 else no("not an object, or too deep")


def unbase64(value: Any, size: int) -> bytes:  # noqa: D103
    data = base64.b64decode(value, validate=True) if isinstance(value, str) else b""
    return data if len(data) == size and base64.b64encode(data).decode() == value else no("a length, or base64")


def check_facts(text: bytes) -> dict[str, Any]:  # noqa: D103
    if type((facts := strict(text)).get("version")) is int and facts["version"] != 2:
        refuse("magic", f"an archive of version {facts['version']}", "use the recover.py of that version")
    kinds = FACTS | dict.fromkeys(facts.keys() & {*NOTES}, str)
    wrong = [name for name, kind in kinds.items() if type(facts.get(name)) is not kind]
    fits = not wrong and re.fullmatch(FORM, "{backup_type} {id} {created_at}".format(**facts))
    time = datetime.strptime(facts["created_at"] + "+0000", "%Y-%m-%dT%H:%M:%SZ%z").timestamp()
    unbase64(facts.get("signer", "A" * 43 + "="), 32)
    return facts if fits and 0 <= time < 8**11 else no(f"{wrong or 'backup_type, id or created_at'}")


def check_slots(text: bytes) -> list[dict[str, Any]]:  # noqa: D103
    slots: list[dict[str, Any]] = found["slots"] if len(found := strict(text)) == 1 else no("another member")
    for slot in slots if isinstance(slots, list) and 1 <= len(slots) <= 64 else no("slots"):
        kind = slot["type"] if isinstance(slot["type"], str) else no("type")
        slot |= {name: unbase64(slot[name], size) for name, size in SIZES.get(kind, {}).items()}
        fits = all(re.fullmatch(form, slot[name]) for name, form in TEXTS.get(kind, {}).items())
        t, m, p = (slot[n] if type(slot[n]) is int else no(n) for n in "tmp") if kind == "password" else (1, 8, 1)
        fits = (fits and 1 <= t <= 16 and 1 <= p <= 16 and 8 * p <= m <= 262_144) or no("kdf, its limits, or a text")
    work = [slot["t"] * slot["m"] for slot in slots if slot["type"] == "password"]
    fits = len(work) <= 8 and sum(work) <= 2_097_152 and {slot["type"] for slot in slots} != {"transit"}
    return slots if fits else no("the work of all passwords, or transit alone")


def data_key(slots: list[dict[str, Any]], key: bytes | X25519PrivateKey, aad: bytes) -> bytes:  # noqa: D103
    mine = "" if isinstance(key, bytes) else hashlib.sha256(key.public_key().public_bytes_raw()).hexdigest()[:16]
    for slot in slots:
        try:
            if isinstance(key, bytes) and slot["type"] == "password":
                both = hash_secret_raw(key, slot["salt"], slot["t"], slot["m"], slot["p"], 64, Type.ID, 0x13)
                if hmac.compare_digest(both[32:], slot["check"]):
                    return AESGCM(both[:32]).decrypt(bytes(12), slot["wrapped"], SLOT + aad)
            elif isinstance(key, X25519PrivateKey) and slot["type"] == "x25519" and slot["key"] == mine:
                return hpke_open(key, slot["sealed"], SLOT + aad)
        except (InvalidTag, ValueError):
            refuse("slots", "the slot of this password or key is damaged")
    refuse("password", "it opens none of the slots", "try another password or key, then another copy")


def expand(key: bytes, info: bytes, length: int, name: str = "sha256") -> bytes:  # noqa: D103
    return ((one := hmac.digest(key, info + b"\1", name)) + hmac.digest(key, one + info + b"\2", name))[:length]


def hpke_open(private: X25519PrivateKey, sealed: bytes, info: bytes) -> bytes:  # noqa: D103 - RFC 9180, mode base
    def labeled(suite: bytes, key: bytes, label: bytes, data: bytes, length: int = 0) -> bytes:
        text = b"HPKE-v1" + suite + label + data
        return expand(key, bytes([0, length]) + text, length) if length else hmac.digest(key, text, "sha256")

    kem, suite, none = b"KEM\0\x20", b"HPKE\0\x20\0\1\0\2", bytes(32)
    secret = labeled(kem, none, b"eae_prk", private.exchange(X25519PublicKey.from_public_bytes(sealed[:32])))
    secret = labeled(kem, secret, b"shared_secret", sealed[:32] + private.public_key().public_bytes_raw(), 32)
    context = b"\0" + labeled(suite, none, b"psk_id_hash", b"") + labeled(suite, none, b"info_hash", info)
    secret = labeled(suite, secret, b"secret", b"")
    key, nonce = labeled(suite, secret, b"key", context, 32), labeled(suite, secret, b"base_nonce", context, 12)
    return AESGCM(key).decrypt(nonce, sealed[32:], None)


def segments(file: BinaryIO, key: bytes | X25519PrivateKey) -> Iterator[bytes]:
    """The payload, each segment once it is checked, after the head and the last segment (sections 2 to 5)."""
    size, _, head, layer = file.seek(0, 2), file.seek(0), file.read(21), "header"
    if head[:17] != b"KLEIDIA_BACKUP_V2":
        refuse("magic", "not an archive of version 2", f"check which file this is; it begins with {head[:17]!r}")
    length = int.from_bytes(head[17:], "big")
    head += file.read(length + 4) if length <= 65_536 else b""
    room = int.from_bytes(head[21 + length :], "big")
    try:
        if len(head) != 25 + length or room % 4096 or not 0 < room <= 65_536 or size < 57 + length + room + 74 + 32:
            no("a length, or the file was cut")
        aad, slots, mac, floe = hashlib.sha256(head[:-4]).digest(), file.read(room), file.read(32), file.read(74)
        facts, layer = check_facts(head[21:-4]), "slots"
        entries = check_slots(slots)
    except (ValueError, KeyError, TypeError, RecursionError) as exc:
        refuse(layer, f"damaged ({exc})".replace("\n", " "))
    secret = hmac.digest(bytes(32), data_key(entries, key, aad), "sha256")
    good = hmac.digest(expand(secret, b"kleidia-backup/v2 header", 32), head + slots, "sha256")
    if not hmac.compare_digest(good, mac):
        refuse("header", "facts or slots were changed")
    if "signer" not in facts and {"x25519", HYBRID, "transit"} & {slot["type"] for slot in entries}:
        refuse("signature", "for a public key, but not signed: anybody can have made it", "use another archive")
    secret, about = expand(secret, b"kleidia-backup/v2 payload", 32), floe[10:42]
    tag = expand(secret, PARAMETERS + about + b"HEADER_TAG:" + aad, 32, "sha384")
    if floe[:10] != PARAMETERS or not hmac.compare_digest(tag, floe[42:]):
        refuse("seal", "the beginning of the body is damaged")
    secret = expand(secret, PARAMETERS + about + b"MESSAGE_KEY:" + aad, 48, "sha384")
    last = (size - (start := file.tell()) - 1) // SEGMENT
    for turn in range(-1, last + 1):
        file.seek(start + (at := turn if turn >= 0 else last) * SEGMENT)
        data = file.read(SEGMENT)
        info = PARAMETERS + about + b"DEK:" + (at >> 20 << 20).to_bytes(8, "big") + aad
        gcm, place = AESGCM(expand(secret, info, 32, "sha384")), at.to_bytes(8, "big") + bytes([at == last])
        try:
            right = data[:4] == (len(data) if at == last else 0xFFFFFFFF).to_bytes(4, "big")
            plain = gcm.decrypt(data[4:16], data[16:], place) if right else no("length")
        except (InvalidTag, ValueError):
            refuse("seal", f"segment {at} of {last + 1} is damaged, or the file was cut")
        if turn >= 0:
            yield plain


def main() -> None:  # noqa: D103
    parser = argparse.ArgumentParser(description="Open an archive, and write its payload, a tar.")
    for name in ("archive", "--password-file", "--key", "--output"):
        parser.add_argument(name, type=Path)
    args = parser.parse_args()
    try:
        if args.key:
            line = re.search(r"(?m)^(kleidia-secret-x25519:)(\S+)\s*$", args.key.read_text()) or no("not an X25519 key")
            raw = unbase64(line[2], 36)
            raw = raw[:32] if hashlib.sha256(line[1].encode() + raw[:32]).digest()[:4] == raw[32:] else no("a typo")
            key: bytes | X25519PrivateKey = X25519PrivateKey.from_private_bytes(raw)
        elif args.password_file:
            key = re.sub(rb"\r?\n\Z", b"", args.password_file.read_bytes())
        else:
            key = getpass.getpass("Password of the archive: ").encode()
        with args.archive.open("rb") as file:
            if args.output is None and all(True for _ in segments(file, key)):
                sys.stdout.buffer.writelines(segments(file, key))
            else:
                with TemporaryDirectory(dir=args.output.parent) as d, NamedTemporaryFile(dir=d, delete=False) as out:
                    out.writelines(segments(file, key))
                    out.flush()
                    Path(out.name).rename(args.output)
    except (OSError, EOFError, ValueError) as exc:
        refuse("files", str(exc) or "no password was given", "correct the name, the key file, or make room")


if __name__ == "__main__":
    main()
