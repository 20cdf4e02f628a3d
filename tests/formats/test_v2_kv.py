"""Secrets in format V2: any path and any value come back as they are; what is no line of secrets is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kleidia_backup.formats.errors import DamagedArchive, PayloadError
from kleidia_backup.formats.json.scan import MAX_DEPTH
from kleidia_backup.formats.secret import MAX_METADATA, MAX_SECRET, Metadata, Secret, Version
from kleidia_backup.formats.v2.chunks import MAX_RAW, Chunk
from kleidia_backup.formats.v2.kv import MAX_PATH, SECRETS, SecretChunks, read_secrets

from .test_payload import JSON, PATHS, SQL_TEXT

OBJECTS = st.dictionaries(SQL_TEXT, JSON, max_size=4)


def chunks(secrets: list[Secret]) -> list[Chunk]:
    group = SecretChunks()
    return [*(chunk for secret in secrets for chunk in group.feed(secret)), *group.finish()]


def through(secrets: list[Secret]) -> list[Secret]:
    """Written and read again; every chunk is as the index will say."""
    found = []
    for chunk in chunks(secrets):
        read = read_secrets(chunk.data)
        assert (chunk.kind, chunk.count, chunk.more) == ("kv", len(read), False)
        assert len(chunk.data) <= (MAX_RAW if len(read) == 1 else SECRETS)
        found += read
    return found


@given(st.dictionaries(PATHS, OBJECTS, max_size=6), st.booleans(), st.sampled_from([None, 1]))
def test_what_is_written_is_read(vault: dict[str, Any], ascii_only: bool, indent: int | None) -> None:
    """Whatever the escapes; an end of line between tokens becomes a space, and nothing else changes."""
    secrets = [
        Secret(path, json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode())
        for path, value in vault.items()
    ]
    assert through(secrets) == [Secret(one.path, one.value.replace(b"\n", b" ")) for one in secrets]


VALUES = {
    "deep arrays": b'{"a":' + b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1) + b"}",
    "deep objects": b'{"a":' * (MAX_DEPTH - 1) + b"{}" + b"}" * (MAX_DEPTH - 1),
    "a long number": b'{"a":' + b"9" * 5000 + b"}",
    "exponents": b'{"a":[1e999,-0.0,1E-400,0.10,123456789012345678901234567890]}',
    "halves of pairs": rb'{"\ud800":"\udfff","b":"\ud83d\ude00"}',
    "escapes": rb'{"\u0000":"\/\b\f\n\r\t\"\\"}',
    "members twice": b'{"a":1,"a":2}',
    "no ASCII": '{"é":"\u2028\U0001f600\ufeff"}'.encode(),
    "the largest": b'{"a":"' + b"x" * (MAX_SECRET - 8) + b'"}',
    "empty": b"{}",
    "blanks": b'{ \t"a" : [ ] }',
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_values(value: bytes) -> None:
    """To the byte, whatever they are."""
    secrets = [Secret("a", value), Secret("b", value)]
    assert through(secrets) == secrets


@pytest.mark.parametrize("path", ["/", "a/", " ", "\n\r", '"\\', "\0", "\u2028", "é", "e\u0301", "x" * MAX_PATH])
def test_paths(path: str) -> None:
    """Any text."""
    assert through([Secret(path, b"{}")]) == [Secret(path, b"{}")]


UNFIT = {
    "no path": Secret("", b"{}"),
    "half of a pair": Secret("a\ud800", b"{}"),
    "a long path": Secret("x" * (MAX_PATH + 1), b"{}"),
    "a path that is long when it is escaped": Secret("\0" * (MAX_PATH // 6 + 1), b"{}"),
    "too large": Secret("a", b'{"a":"' + b"x" * (MAX_SECRET - 7) + b'"}'),
}


@pytest.mark.parametrize("secret", UNFIT.values(), ids=UNFIT)
def test_the_writer_stops_at_what_no_reader_takes(secret: Secret) -> None:
    """Nothing of the value is said."""
    with pytest.raises(PayloadError) as caught:
        chunks([secret])
    assert len(str(caught.value)) < 1000


LINES = {
    "other order": (b' { "value" : {"a":1} , "path" : "p" } \n', Secret("p", b'{"a":1}')),
    "escaped names": (rb'{"p\u0061th":"p","\u0076alue":{"a":1}}' + b"\n", Secret("p", b'{"a":1}')),
    "a path of escapes": (rb'{"path":"\ud83d\ude00\/","value":{}}' + b"\n", Secret("\U0001f600/", b"{}")),
    "more members": (b'{"new":[{},1.5],"path":"p","value":{"a":1},"b":null}\n', Secret("p", b'{"a":1}')),
    "blanks": (b'{"path":"p","value":\t{ "a": 1 }\t}\n', Secret("p", b'{ "a": 1 }')),
    "CR": (b'{"path":"p","value":{}}\r\n', Secret("p", b"{}")),
}


@pytest.mark.parametrize(("line", "secret"), LINES.values(), ids=LINES)
def test_other_writers(line: bytes, secret: Secret) -> None:
    """What they may write."""
    assert read_secrets(line) == [secret]
    assert read_secrets(line * 3) == [secret] * 3


FAULTS = {
    "no end of line": b'{"path":"p","value":{}}',
    "an empty line": b'{"path":"p","value":{}}\n\n',
    "no path": b'{"value":{}}\n',
    "no value": b'{"path":"p"}\n',
    "a value and a reason": b'{"path":"p","value":{},"newest":"deleted","version":1}\n',
    "an unknown reason": b'{"path":"p","newest":"gone","version":1}\n',
    "a reason that is null": b'{"path":"p","newest":null,"version":1}\n',
    "deleted without a number": b'{"path":"p","newest":"deleted"}\n',
    "destroyed as number 0": b'{"path":"p","newest":"destroyed","version":0}\n',
    "metadata alone with a number": b'{"path":"p","newest":"none","version":1}\n',
    "metadata alone with versions": b'{"path":"p","newest":"none","version":2,"versions":[]}\n',
    "an empty path": b'{"path":"","value":{}}\n',
    "a path that is null": b'{"path":null,"value":{}}\n',
    "a path that is a number": b'{"path":1,"value":{}}\n',
    "a value that is null": b'{"path":"p","value":null}\n',
    "a value that is an array": b'{"path":"p","value":[]}\n',
    "a value that is a text": b'{"path":"p","value":"{}"}\n',
    "path twice": b'{"path":"p","path":"p","value":{}}\n',
    "path twice, once escaped": rb'{"path":"p","\u0070ath":"p","value":{}}' + b"\n",
    "value twice": b'{"path":"p","value":{},"value":{}}\n',
    "another member twice": b'{"path":"p","value":{},"a":1,"a":1}\n',
    "half of a pair": rb'{"path":"\ud800","value":{}}' + b"\n",
    "half of a pair and a letter": rb'{"path":"\ud800\u0041","value":{}}' + b"\n",
    "no UTF-8 in a path": b'{"path":"\xff","value":{}}\n',
    "a surrogate in UTF-8": b'{"path":"\xed\xa0\x80","value":{}}\n',
    "no UTF-8 in a value": b'{"path":"p","value":{"a":"\xc3"}}\n',
    "no UTF-8 in another member": b'{"path":"p","value":{},"a":"\xc3"}\n',
    "a mark": b'\xef\xbb\xbf{"path":"p","value":{}}\n',
    "two objects": b'{"path":"p","value":{}}{}\n',
    "an array": b'["path"]\n',
    "nothing in it": b"{}\n",
    "a comma too much": b'{"path":"p","value":{},}\n',
    "a comma too much inside": b'{"path":"p","value":{"a":1,}}\n',
    "a comma too little": b'{"path":"p" "value":{}}\n',
    "a comma first": b'{,"path":"p","value":{}}\n',
    "no colon": b'{"path" "p","value":{}}\n',
    "no end": b'{"path":"p","value":{}\n',
    "a form feed": b'{"path":"p",\f"value":{}}\n',
    "NaN": b'{"path":"p","value":{"a":NaN}}\n',
    "a number with a zero before it": b'{"path":"p","value":{"a":01}}\n',
    "a control character": b'{"path":"p","value":{"a":"\x01"}}\n',
    "NUL": b'{"path":"p","value":{}}\0\n',
    "an unknown escape": rb'{"path":"p","value":{"a":"\x"}}' + b"\n",
    "a comment": b'{"path":"p","value":{}} // no\n',
    "too deep": b'{"path":"p","value":' + b'{"a":' * MAX_DEPTH + b"{}" + b"}" * MAX_DEPTH + b"}\n",
    "a long path": b'{"path":"' + b"x" * (MAX_PATH + 1) + b'","value":{}}\n',
    "too large": b'{"path":"p","value":{"a":"' + b"x" * (MAX_SECRET - 7) + b'"}}\n',
}


@pytest.mark.parametrize("data", FAULTS.values(), ids=FAULTS)
def test_one_fault(data: bytes) -> None:
    """Each is refused, alone and behind a good line, and no path and value is said."""
    for whole in (data, b'{"path":"good","value":{}}\n' + data):
        with pytest.raises(DamagedArchive) as caught:
            read_secrets(whole)
        assert caught.value.layer == "payload"
        assert str(caught.value).startswith("The archive's secrets hold ")


DEEP = b'{"a":' * (MAX_DEPTH - 1) + b"{}" + b"}" * (MAX_DEPTH - 1)


@pytest.mark.parametrize(
    "secret",
    [
        Secret("a", b"{}", Metadata()),
        Secret("a", b"{}", Metadata(custom_metadata={'"\\\u2028': "\U0001f600\n"}, max_versions=3, cas_required=True)),
        Secret("a", b"{}", Metadata(custom_metadata={"x": "y"}, partial=True)),
        Secret("a", DEEP, Metadata(delete_version_after="1h0m0s"), 4, (Version(1), Version(2, DEEP)), 1),
        Secret("a", b"", Metadata(max_versions=3), 1, gone="deleted"),
        Secret("a", b"", None, 7, (Version(2, b"{}"), Version(6)), 2, gone="destroyed"),
        Secret("a", b"", Metadata(custom_metadata={"x": "y"}), gone="none"),
        Secret("a", b"{}", None, 7, (Version(2, destroyed=True), Version(6, b'{"n":1e999}'))),
        Secret("a", b"{}", Metadata(), 1, (), 1),
    ],
    ids=["nothing", "all", "partial", "deep", "deleted", "destroyed", "alone", "holes", "one"],
)
def test_metadata_and_versions_come_back(secret: Secret) -> None:
    """Whatever the vault says of a secret is as it was written."""
    assert through([secret, Secret("plain", b"{}")]) == [secret, Secret("plain", b"{}")]


FURTHER = {
    "metadata that is a list": b'"metadata":[]',
    "metadata null": b'"metadata":null',
    "a number as text": b'"metadata":{"max_versions":"3"}',
    "a negative number": b'"metadata":{"max_versions":-1}',
    "a fraction": b'"metadata":{"max_versions":1.0}',
    "a member of metadata twice": b'"metadata":{"max_versions":1,"max_versions":2}',
    "a member that nobody knows twice": b'"metadata":{"x":{"y":1,"y":1}}',
    "metadata too deep": b'"metadata":{"x":' + b"[" * 64 + b"]" * 64 + b"}",
    "a version of fraction": b'"version":2.0,"versions":[]',
    "an oldest beyond 2^53": b'"version":2,"versions":[],"oldest":9007199254740993',
    "custom metadata of numbers": b'"metadata":{"custom_metadata":{"a":1}}',
    "custom metadata null": b'"metadata":{"custom_metadata":null}',
    "too much metadata": b'"metadata":{"custom_metadata":{"a":"%b"}}' % (b"x" * MAX_METADATA),
    "versions without a number": b'"versions":[]',
    "versions that are an object": b'"version":2,"versions":{}',
    "a version without a number": b'"version":2,"versions":[{"value":{}}]',
    "a version without a value": b'"version":2,"versions":[{"version":1}]',
    "a value and deleted": b'"version":2,"versions":[{"version":1,"value":{},"deleted":true}]',
    "deleted as a number": b'"version":2,"versions":[{"version":1,"value":{},"deleted":1}]',
    "a value that is a list": b'"version":2,"versions":[{"version":1,"value":[]}]',
    "out of order": b'"version":3,"versions":[{"version":2,"deleted":true},{"version":1,"deleted":true}]',
    "above the newest": b'"version":2,"versions":[{"version":2,"deleted":true}]',
    "version 0": b'"version":2,"versions":[{"version":0,"deleted":true}]',
    "an array that goes on": b'"version":2,"versions":[{"version":1,"deleted":true},]',
    "a negative oldest": b'"version":2,"versions":[],"oldest":-1',
    "together too large": b'"version":2,"versions":[{"version":1,"value":{"a":"%b"}}]' % (b"x" * (MAX_SECRET - 8)),
}


@pytest.mark.parametrize("further", FURTHER.values(), ids=FURTHER.keys())
def test_optional_members_of_a_wrong_type_are_damage(further: bytes) -> None:
    """As the page says."""
    with pytest.raises(DamagedArchive) as caught:
        read_secrets(b'{"path":"a","value":{"b":1},%b}\n' % further)
    assert caught.value.layer == "payload"
