"""Chunks of secrets of format V2: our reader beside a second look, and what is written again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kleidia_backup.formats.errors import DamagedArchive
from kleidia_backup.formats.secret import Secret
from kleidia_backup.formats.v2.kv import SecretChunks, read_secrets

from .. import second_secrets as second
from ..harness import Finding, Harness, expect_same, words
from ..second_index import Open, Refused


def one(data: bytes) -> None:
    """Lines of secrets."""
    try:
        ours: list[Secret] | None = read_secrets(data)
    except DamagedArchive as exc:
        expect_same(exc.layer, "payload", "a layer")
        ours = None
    try:
        theirs: list[dict[str, Any]] | None = list(second.secrets(data))
        why = "it takes it"
    except Refused as exc:
        theirs, why = None, str(exc)
    except Open:
        return
    if ours is None or theirs is None:
        if (ours is None) != (theirs is None):
            raise Finding(f"one of two refuses a chunk of secrets; the page: {why}")
        return
    for secret, found in zip(ours, theirs, strict=True):
        expect_same(secret.path, found["path"], "a path")
        if "value" in found:
            expect_same(second.loads(secret.value), found["value"], "a value")
        expect_same(secret.gone, found.get("newest"), "why there is no value")
        expect_same(secret.metadata is not None, "metadata" in found, "whether there is metadata")
        expect_same(
            [each.number for each in secret.older],
            [int(each["version"]) for each in found.get("versions", ())],
            "versions",
        )
    _again(ours)


def _again(secrets: list[Secret]) -> None:
    """What was read can be written, and is read as the same."""
    chunks = SecretChunks()
    made = [chunk for secret in secrets for chunk in chunks.feed(secret)] + list(chunks.finish())
    again = [secret for chunk in made for secret in read_secrets(chunk.data)]
    expect_same(list(map(_plain, again)), list(map(_plain, secrets)), "secrets written again")


def _plain(secret: Secret) -> tuple[object, ...]:
    older = tuple((each.number, each.value and _spaces(each.value), each.destroyed) for each in secret.older)
    return secret.path, _spaces(secret.value), secret.metadata, secret.version, older, secret.oldest, secret.gone


def _spaces(value: bytes) -> bytes:
    return value.replace(b"\r", b" ")


def seeds() -> Mapping[str, bytes]:
    """Lines with all members, in several forms."""
    plain = b'{"path":"a/b","value":{"b":[1,{"c":null}]}}\n'
    metadata = (
        b'"metadata":{"custom_metadata":{"owner":"a"},"max_versions":5,"cas_required":true,"delete_version_after":"3h"}'
    )
    older = b'"versions":[{"version":1,"deleted":true},{"version":2,"destroyed":true},{"version":3,"value":{"a":1.0}}]'
    return {
        "plain": plain * 2,
        "metadata": b'{"path":"m","value":{},' + metadata + b"}\n",
        "versions": b'{"path":"v","value":{"x":"y"},"version":7,"oldest":1,' + older + b"}\n",
        "both": b'{"value":{},' + older + b',"version":4,"path":"w","metadata":{"partial":true}}\n',
        "order": b' {"value" : {"\\u00e9":1.50e-3} , "path":"\\ud83d\\ude00", "later":[null,{"a":1e99}] } \n',
        "gone": b'{"path":"d","newest":"deleted","version":4,"versions":[{"version":3,"value":{}}]}\n'
        b'{"path":"e","newest":"destroyed","version":1}\n{"path":"n","newest":"none","metadata":{"max_versions":2}}\n',
        "nothing": b"",
    }


_WORDS = words(
    rb"""
    {"path":" "value":{ "metadata":{ "newest":"deleted" "newest":"none" "versions":[
    "version":1 "oldest":0 "deleted":true "destroyed":true
    "custom_metadata":{ "max_versions": "cas_required": "partial":true null true false -1 1.0 1e2 -0 01
    9007199254740993 \ud800 \udc00
    """,
    b"\r",
    b"\n",
    b"\xc3\xa9",
    b"\xed\xa0\x80",
    b"[" * 70,
    b'{"a":' * 66,
    b"}}\n",
)
HARNESSES = {"v2-kv": Harness(one, seeds, _WORDS)}
