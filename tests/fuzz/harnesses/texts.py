"""Short texts: keys, connection strings, answers of a vault, a server's wish to wait, what stands in begin.json."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping

import msgspec

from kleidia_backup.formats.errors import DamagedArchive
from kleidia_backup.formats.json.broken import BROKEN
from kleidia_backup.formats.v2.keys.pairs import PrivateKey, PublicKey, SigningKey, VerifyKey
from kleidia_backup.formats.v2.keys.text import InvalidKey
from kleidia_backup.formats.v2.recorded import Recorded, read_begin
from kleidia_backup.service.api.identity.signing_keys import _usable
from kleidia_backup.stages.errors import ConfigurationError
from kleidia_backup.stages.pg.server.conninfo import read_conninfo, refuse_repeated
from kleidia_backup.stages.retry_after import retry_after
from kleidia_backup.stages.vault.kv import answers

from ..harness import Finding, Harness, expect_same, words


def one(data: bytes) -> None:
    """A letter that says what it is, and the text."""
    kind, text = data[:1], data[1:]
    _KINDS.get(kind, _key)(text)


def _key(text: bytes) -> None:
    said = text.decode(errors="replace")
    for kind in (PublicKey, VerifyKey):
        try:
            found = kind.parse(said)
        except InvalidKey as exc:
            _quiet(str(exc), said)
        else:
            expect_same(kind.parse(found.text), found, "a key as text")
    for secret in (PrivateKey, SigningKey):
        try:
            key = secret.parse(said)
        except InvalidKey as exc:
            _quiet(str(exc), said)
        else:
            expect_same(secret.parse(key.to_text()), key, "a secret key as text")
            _quiet(repr(key), said)


def _quiet(message: str, said: str) -> None:
    """Nothing of a key is repeated: no 12 characters of its base64."""
    message = re.sub("kleidia-[a-z0-9-]+", "", message)
    for line in said.splitlines():
        encoded = line.partition(":")[2].strip()
        if any(encoded[at : at + 12] in message for at in range(max(0, len(encoded) - 11))):
            raise Finding(f"a message repeats what was given: {message!r}")


def _conninfo(text: bytes) -> None:
    said = text.decode(errors="replace")
    for work in (read_conninfo, refuse_repeated):
        try:
            work(said)
        except ConfigurationError as exc:
            if "canary" in said and "canary" in str(exc):
                raise Finding(f"a message repeats what was given: {exc}") from exc


def _versioned(text: bytes) -> None:
    found = answers.read_versioned(text)
    if isinstance(found, answers.Found):
        found.value.decode()  # what an archive can hold
        found.text("password")
    answers.missing(text)
    answers.written(text)


def _plain(text: bytes) -> None:
    found = answers.read_plain(text)
    if isinstance(found, answers.Found):
        found.value.decode()


def _names(text: bytes) -> None:
    """The names one by one are those of the whole."""
    found = answers.read_names(text)
    if isinstance(found, answers.Refused):
        return
    try:
        names: list[str] | None = list(found)
    except ValueError:
        names = None
    try:
        theirs = msgspec.json.decode(text, type=dict[str, dict[str, list[str] | None] | None])
        wanted = ((theirs.get("data") or {}).get("keys") or []) if "keys" in (theirs.get("data") or {}) else []
    except BROKEN:
        return
    expect_same(names, wanted, "the names in a folder")


def _wait(text: bytes) -> None:
    seconds = retry_after(text.decode("latin-1"))
    if not 0.0 <= seconds < math.inf:
        raise Finding(f"it waits {seconds} seconds")


def _begin(text: bytes) -> None:
    try:
        found = read_begin(text)
    except DamagedArchive as exc:
        expect_same(exc.layer, "payload", "a layer")
        return
    expect_same(read_begin(found.encode()), found, "what is recorded, written again")
    expect_same(read_begin(found.begin(b'{"version":2}')), found, "what is recorded, behind the facts")
    expect_same(found.joined(Recorded()), found, "what is recorded, with nothing")


def _jwks(text: bytes) -> None:
    """Keys of an issuer: what is none is passed over."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return
    _usable(document, ("RS256", "ES256", "EdDSA"))


_KINDS: dict[bytes, Callable[[bytes], None]] = {
    b"k": _key,
    b"c": _conninfo,
    b"v": _versioned,
    b"p": _plain,
    b"n": _names,
    b"w": _wait,
    b"b": _begin,
    b"j": _jwks,
}


def seeds() -> Mapping[str, bytes]:
    """One of each kind."""
    private, signing = PrivateKey("x25519", bytes(range(32))), SigningKey(bytes(range(32, 64)))
    versioned = (
        b'{"data":{"data":{"password":"x"},"metadata":{"version":3,"custom_metadata":{"a":"b"},"created_time":"t"}}}'
    )
    return {
        "public": b"k# mine\n" + private.public.text.encode() + b"\n",
        "secret": b"k" + private.to_text().encode(),
        "signing": b"k" + signing.to_text().encode(),
        "signer": b"k" + signing.public.text.encode(),
        "uri": b"cpostgresql://app:canary%40@db.example.org:5432/kleidia?sslmode=verify-full",
        "pairs": b"chost=db port=5432 user='a b' password=canary dbname=kleidia",
        "versioned": b"v" + versioned,
        "missing": b'v{"errors":[]}',
        "deleted": b'v{"data":{"data":null,"metadata":{"version":2,"destroyed":true}}}',
        "value": b'p{"data":{"a":1.0},"wrap_info":null}',
        "names": b'n{"data":{"keys":["a","b/","\\u00e9", "c"]}}',
        "seconds": b"w120",
        "date": b"wSun, 06 Nov 2033 08:49:37 GMT",
        "begin": b'b{"version":2,"mounts":[{"path":"kv","max_versions":5}],"policies":[{"name":"a","text":"b"}]}',
        "jwks": b'j{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIuEp-g","kid":"1"}]}',
        "ec": b'j{"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",'
        b'"y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","use":"sig"},{"kty":"RSA","n":"AQ","e":"AQAB","alg":"RS256"}]}',
        "roles": b'b{"roles":[{"name":"app","login":true,"member_of":["x"],"settings":["a=b"],"connection_limit":-1}]}',
    }


_WORDS = words(
    rb"""
    kleidia-public-x25519: kleidia-secret-x25519: kleidia-public-ed25519: kleidia-public-mlkem768-x25519: # ==
    postgresql:// @ %40 ? host= password=canary port= service= ' hostaddr= [::1] "data":{ "metadata":{
    "wrap_info":{} "errors":[ "keys":[ null 1e999 -1 \ud800 inf nan 1_0 GMT +9999 "mounts":[ "roles":[
    "policies":[ "settings":[ true 1.0
    """,
    b"\n",
    b"\\",
    b"\x00",
    b"[" * 60,
    b'{"a":' * 60,
    b" Nov 9999 ",
)
HARNESSES = {
    "texts": Harness(
        one,
        seeds,
        _WORDS,
        1024,
    )
}
