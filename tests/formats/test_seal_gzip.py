"""Key, seal and compression agree with other implementations, for any cut of the data."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st
from isal import isal_zlib

from kleidia_backup.formats.codecs.gzip import GzipDecoder, GzipEncoder
from kleidia_backup.formats.crypto import seal
from kleidia_backup.formats.crypto.seal import Opener, Sealer, derive_key
from kleidia_backup.formats.errors import DamagedArchive, PayloadError, UnsupportedArchive
from kleidia_backup.pipeline.engine import Transform

KEY, NONCE = bytes(range(32)), bytes(range(12))
#: Data of every kind: random, long runs, and both.
RUNS = st.builds(bytes.__mul__, st.binary(min_size=1, max_size=3), st.integers(1, 5000))
DATA = st.lists(st.binary(max_size=200) | RUNS, max_size=5).map(b"".join)
CUTS = st.lists(st.integers(0, 12_000), max_size=8)


def pieces(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    """The data, cut at these places; some pieces may be empty."""
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for start, end in pairwise(places):
        yield data[start:end]


def run(transform: Transform, data: Iterator[bytes]) -> bytes:
    """What a transform makes of them, its end included."""
    return b"".join([made for piece in data for made in transform.feed(piece)] + list(transform.finish()))


# Key ------------------------------------------------------------------------------------------------------------

#: By cryptography's Argon2id (OpenSSL), not by the implementation that the package uses.
KEYS = [
    ("password", bytes(32), "592555a93064d6ac4a58d740c0ac9c8eda33b2d4a916b88efd88ea9d6ab65cc2"),
    ("p\u00e4ssw\u00f6rd", bytes(range(32)), "ef99ac36eb7ff4cd29f95728f2437063746bd5b3ff09fe09f958bf49d723538f"),
]


@pytest.mark.parametrize(("password", "salt", "key"), KEYS, ids=["ascii", "unicode"])
def test_known_keys(password: str, salt: bytes, key: str) -> None:
    """The key is Argon2id with 3 passes, 64 MiB and 4 lanes over the password's UTF-8."""
    assert derive_key(password, salt).hex() == key


# Seal -----------------------------------------------------------------------------------------------------------


@given(DATA, CUTS)
def test_sealer_agrees_with_one_call(data: bytes, cuts: list[int]) -> None:
    """However the plaintext is cut, ciphertext and tag are those of AES-256-GCM over the whole."""
    sealer = Sealer(KEY, NONCE)
    sealed = run(sealer, pieces(data, cuts))
    assert sealed == AESGCM(KEY).encrypt(NONCE, data, None)


@given(DATA, CUTS)
def test_opener_agrees_with_one_call(data: bytes, cuts: list[int]) -> None:
    """However the ciphertext is cut, even inside the tag, the plaintext comes out, and never a byte of the tag."""
    opener = Opener(KEY, NONCE)
    sealed = AESGCM(KEY).encrypt(NONCE, data, None)
    assert run(opener, pieces(sealed, [*cuts, len(data) + 5])) == data


@given(DATA, CUTS, st.integers(min_value=0), st.integers(0, 7))
def test_any_changed_bit_is_noticed(data: bytes, cuts: list[int], at: int, bit: int) -> None:
    """One changed bit anywhere in ciphertext or tag, and the tag does not fit."""
    sealed = bytearray(AESGCM(KEY).encrypt(NONCE, data, None))
    sealed[at % len(sealed)] ^= 1 << bit
    assert not opens(bytes(sealed), cuts)


@given(DATA, CUTS, st.integers(min_value=1))
def test_any_cut_is_noticed(data: bytes, cuts: list[int], missing: int) -> None:
    """A ciphertext that ends early or goes on does not fit its tag, also one shorter than a tag."""
    sealed = AESGCM(KEY).encrypt(NONCE, data, None)
    assert opens(sealed, cuts)
    assert not opens(sealed[: -(1 + missing % len(sealed))], cuts)
    assert not opens(sealed + b"\0", cuts)


def opens(sealed: bytes, cuts: list[int]) -> bool:
    """Whether the tag fits."""
    opener = Opener(KEY, NONCE)
    for piece in pieces(sealed, cuts):
        opener.feed(piece)
    try:
        opener.finish()
    except DamagedArchive as exc:
        return exc.layer != "seal"
    return True


def test_the_most_that_one_nonce_may_seal() -> None:
    """The limit is that of NIST SP 800-38D, section 5.2.1.1: 2^39 - 256 bits."""
    assert seal.MAX_PLAINTEXT * 8 == 2**39 - 256


@given(CUTS)
def test_the_limit(cuts: list[int]) -> None:
    """Exactly the limit is sealed and opened; one byte more is an error on either side, whatever the cuts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seal, "MAX_PLAINTEXT", 10_000)
        most = bytes(10_000)
        sealer, opener = Sealer(KEY, NONCE), Opener(KEY, NONCE)
        sealed = run(sealer, pieces(most, cuts))
        assert run(opener, pieces(sealed, cuts)) == most
        sealer, opener = Sealer(KEY, NONCE), Opener(KEY, NONCE)
        more = AESGCM(KEY).encrypt(NONCE, most + b"x", None)
        with pytest.raises(PayloadError, match="64 GiB") as caught:
            feed(sealer, pieces(most + b"x", cuts))
        assert "--no-audit-logs" in caught.value.hint
        with pytest.raises(UnsupportedArchive):
            feed(opener, pieces(more, cuts))


def feed(target: Transform, data: Iterator[bytes]) -> None:
    """Feed every piece."""
    for piece in data:
        list(target.feed(piece))


# gzip -----------------------------------------------------------------------------------------------------------


@given(DATA, CUTS)
def test_encoder_agrees_with_the_standard_library(data: bytes, cuts: list[int]) -> None:
    """However the data is cut, one gzip member comes out that others read."""
    encoder = GzipEncoder()
    packed = run(encoder, pieces(data, cuts))
    other = zlib.decompressobj(31)
    assert other.decompress(packed) == data
    assert other.eof
    assert other.unused_data == b""


@given(DATA, CUTS, CUTS, st.integers(0, 9), st.sampled_from([1, 2, 100, 4096, 1 << 20]))
def test_decoder_agrees_with_the_standard_library(
    data: bytes, members: list[int], cuts: list[int], level: int, limit: int
) -> None:
    """Any members at any level, cut anywhere, come out whole, and never more than the limit at once."""
    data = data[:3000] if limit < 100 else data
    packed = b"".join(gzip.compress(member, level) for member in pieces(data, members))
    assert decode(pieces(packed, cuts), limit) == data


def decode(packed: Iterator[bytes], limit: int = 1 << 20) -> bytes:
    """Decompress pieces to their end, and check that each call keeps the limit."""
    decoder = GzipDecoder(limit)
    out: list[bytes] = []
    for piece in packed:
        out += decoder.feed(piece)
    assert decoder.finish() == ()
    assert max(map(len, out)) <= limit
    return b"".join(out)


def test_decoder_on_a_bomb() -> None:
    """Zeros packed a thousandfold come out in pieces of the limit."""
    decoder = GzipDecoder(1 << 20)
    member = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = b"".join(member.compress(bytes(1 << 20)) for _ in range(64)) + member.flush()
    sizes = [len(piece) for piece in decoder.feed(packed)]
    assert decoder.finish() == ()
    assert sum(sizes) == 64 << 20
    assert max(sizes) == 1 << 20


@pytest.mark.parametrize("held", [b"", b"x", b"x" * 300, bytes(5000)])
def test_many_small_members_cost_what_they_weigh(held: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a member gives back is copied: over all members at most twice what came in, and a little for each."""
    copied = 0

    class Counting:
        def __init__(self, *arguments: int) -> None:
            self._real = isal_zlib.decompressobj(*arguments)

        def decompress(self, data: bytes, limit: int = 0) -> bytes:
            nonlocal copied
            copied += len(data)
            return self._real.decompress(data, limit)

        def __getattr__(self, name: str) -> object:
            return getattr(self._real, name)

    monkeypatch.setattr("kleidia_backup.formats.codecs.gzip.isal_zlib", SimpleNamespace(decompressobj=Counting))
    packed = gzip.compress(held) * 20_000
    assert decode(pieces(packed, list(range(0, len(packed), 1 << 20)))) == held * 20_000
    assert copied <= 2 * len(packed) + 300 * 20_000


def member(flags: int, data: bytes = b"hello") -> bytes:
    """A gzip member with the optional header fields that the flags say."""
    header = bytes([0x1F, 0x8B, 8, flags, 1, 2, 3, 4, 0, 3])
    header += (b"\x04\0a\0b\0" if flags & 4 else b"") + (b"name\0" if flags & 8 else b"")
    header += b"comment\0" if flags & 16 else b""
    header += struct.pack("<H", zlib.crc32(header) & 0xFFFF) if flags & 2 else b""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    return header + deflate.compress(data) + deflate.flush() + struct.pack("<II", zlib.crc32(data), len(data))


@pytest.mark.parametrize("flags", range(32))
def test_every_header_field(flags: int) -> None:
    """All optional fields of a gzip header, together and alone, are skipped wherever a piece ends in them."""
    packed = member(flags)
    assert gzip.decompress(packed) == b"hello"
    for cut in range(len(packed)):
        assert decode(pieces(packed * 2, [cut, len(packed) + cut])) == b"hello" * 2
    assert decode(pieces(packed, list(range(len(packed))))) == b"hello"


@given(DATA, CUTS, st.integers(min_value=0), st.integers(0, 7))
def test_a_changed_bit_never_changes_what_comes_out(data: bytes, cuts: list[int], at: int, bit: int) -> None:
    """A stream with one changed bit is refused, or it was a bit without meaning (a time, say)."""
    packed = bytearray(gzip.compress(data, 6, mtime=0))
    packed[at % len(packed)] ^= 1 << bit
    with suppress(DamagedArchive):
        assert decode(pieces(bytes(packed), cuts)) == data


@given(DATA, CUTS, st.integers(min_value=0))
def test_a_stream_that_ends_early(data: bytes, cuts: list[int], end: int) -> None:
    """Cut anywhere, the stream is refused at its end at the latest."""
    packed = gzip.compress(data)
    with pytest.raises(DamagedArchive, match="ends early") as caught:
        decode(pieces(packed[: end % len(packed)], cuts))
    assert caught.value.layer == "gzip"


@given(st.binary(min_size=1, max_size=40), CUTS)
def test_what_follows_a_member(more: bytes, cuts: list[int]) -> None:
    """Nothing but members may follow a member, whatever it looks like."""
    with pytest.raises(DamagedArchive) as caught:
        decode(pieces(gzip.compress(b"hello") + more, cuts))
    assert caught.value.layer == "gzip"


def test_a_header_without_an_end() -> None:
    """A file name of megabytes is refused before it is held."""
    decoder = GzipDecoder(1 << 20)
    feed(decoder, iter([bytes([0x1F, 0x8B, 8, 8, 0, 0, 0, 0, 0, 3])]))
    with pytest.raises(DamagedArchive, match="not gzip"):
        feed(decoder, iter([b"x" * 60_000] * 20))
