"""FLOE: a body sealed in segments, each of which opens alone (SPEC.md, section 5).

Sizes are bytes, segments are numbered from 0. What opens gives no byte of a segment before its tag was checked.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from hmac import compare_digest

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from ..errors import DamagedArchive, PayloadError

#: Of a segment as stored: FLOE's ``ENC_SEG_LEN``.
SEGMENT = 262_144
#: That a segment is longer than what it seals: its length field, nonce and tag.
OVERHEAD = 32
#: Of the FLOE header: parameters, IV and header tag.
HEADER = 74
#: A key seals 2^20 segments, then comes the next: FLOE's ``AEAD_ROTATION_MASK``.
ROTATION = 20
#: Most segments of a body.
MAX_SEGMENTS = 2**40

_KEY = 32
_MESSAGE_KEY = 48
_PARAMETERS = 10
_IV = 32
_HEADER_TAG = 32
_LENGTH = 4
_NONCE = 12
#: The length field of every segment but the last.
_INNER = b"\xff" * _LENGTH


class _Keys:
    """The header of one body, and the keys of its segments: FLOE's state. Raises ``ValueError`` for a key's length."""

    def __init__(self, key: bytes, aad: bytes, iv: bytes, segment: int) -> None:
        if len(key) != _KEY:
            raise ValueError(f"a key of FLOE has {_KEY} bytes")
        # Two zero bytes: AES-256-GCM and HKDF-Expand-SHA-384.
        self._prefix = b"\0\0" + segment.to_bytes(4, "big") + _IV.to_bytes(4, "big") + iv
        self._aad = aad
        self.header = self._prefix + self._derive(key, b"HEADER_TAG:", _HEADER_TAG)
        self._message_key = self._derive(key, b"MESSAGE_KEY:", _MESSAGE_KEY)
        self._latest: tuple[int, AESGCM] | None = None

    def cipher(self, number: int) -> AESGCM:
        """What seals this segment. Deriving is much work beside a small segment: the latest one is kept."""
        group = number >> ROTATION << ROTATION
        latest = self._latest  # read once: another thread may change it
        if latest is None or latest[0] != group:
            key = self._derive(self._message_key, b"DEK:" + group.to_bytes(8, "big"), _KEY)
            self._latest = latest = group, AESGCM(key)
        return latest[1]

    def _derive(self, key: bytes, purpose: bytes, length: int) -> bytes:
        return HKDFExpand(SHA384(), length, self._prefix + purpose + self._aad).derive(key)


def _associated(number: int, *, last: bool) -> bytes:
    """What the tag of a segment covers beside its content: where it stands."""
    return number.to_bytes(8, "big") + (b"\1" if last else b"\0")


class _Buffer:
    """Bytes of a segment that is not complete yet."""

    def __init__(self, size: int) -> None:
        self._room = memoryview(bytearray(size))
        self.filled = 0

    def fill(self, data: memoryview, size: int) -> memoryview:
        """Take until ``size`` bytes are here; gives the rest of the data."""
        taken = data[: size - self.filled]
        self._room[self.filled : self.filled + len(taken)] = taken
        self.filled += len(taken)
        return data[len(taken) :]

    def start(self, size: int) -> bytes:
        """The first bytes, as many of these as are here."""
        return bytes(self._room[: min(size, self.filled)])

    def take(self) -> memoryview:
        """All, until the next is filled in."""
        whole, self.filled = self._room[: self.filled], 0
        return whole


class Sealer:
    """Encrypts a payload into a body: first the FLOE header, then whole segments.

    ``key`` has 32 bytes (``ValueError`` otherwise); ``aad`` is what the body is bound to.
    """

    name = "seal"

    def __init__(self, key: bytes, aad: bytes, *, segment: int = SEGMENT) -> None:
        self._keys = _Keys(key, aad, os.urandom(_IV), segment)
        self._header = self._keys.header
        self._number = 0
        # A full one waits here: only the next byte tells that it is not the last.
        self._size = segment - OVERHEAD
        self._held = _Buffer(self._size)
        #: What is held, a ciphertext, and the segment made of it.
        self.working_set = 3 * segment

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Encrypt some bytes. Raises ``PayloadError`` when they would need more than 2^40 segments."""
        yield from self._begin()
        view = memoryview(data)
        if self._held.filled:
            view = self._held.fill(view, self._size)
            if not view:
                return
            yield self._seal(self._held.take())
        while len(view) > self._size:  # no copy of what is here as a whole
            yield self._seal(view[: self._size])
            view = view[self._size :]
        self._held.fill(view, self._size)

    def finish(self) -> Iterator[bytes]:
        """The last segment; it is empty only when the payload is."""
        yield from self._begin()
        yield self._seal(self._held.take(), last=True)

    def _begin(self) -> Iterator[bytes]:
        if self._header:
            header, self._header = self._header, b""
            yield header

    def _seal(self, plain: memoryview, *, last: bool = False) -> bytes:
        number, nonce = self._number, os.urandom(_NONCE)
        if number >= MAX_SEGMENTS - (not last):  # the highest number can only be the last
            raise PayloadError("The backup is larger than archive format V2 can seal.")
        self._number += 1
        length = (len(plain) + OVERHEAD).to_bytes(_LENGTH, "big") if last else _INNER
        sealed = self._keys.cipher(number).encrypt(nonce, plain, _associated(number, last=last))
        return b"".join((length, nonce, sealed))


class Segments:
    """Opens any segment of one body, in any order and from any thread.

    ``key`` has 32 bytes (``ValueError`` otherwise), ``header`` is the body's first 74. Raises ``DamagedArchive``
    (layer ``seal``) when its parameters are not those of this format, or its tag does not fit key, ``aad`` and IV.
    """

    def __init__(self, key: bytes, aad: bytes, header: bytes, *, segment: int = SEGMENT) -> None:
        #: Of every segment but the last.
        self.segment = segment
        # What is made of the IV alone must be the whole header; parameters and length are no secret.
        self._keys = _Keys(key, aad, header[_PARAMETERS : _PARAMETERS + _IV], segment)
        if not compare_digest(self._keys.header, header):
            raise DamagedArchive("seal", "The archive's body does not begin with the header that it was sealed with.")

    def open(self, number: int, data: bytes | memoryview, *, last: bool) -> bytes:
        """What the segment of this number seals.

        ``data`` is the whole segment, ``last`` whether the body ends with it. Raises ``DamagedArchive`` (layer
        ``seal``) when it is any other.
        """
        view, size = memoryview(data), len(data)
        fits = OVERHEAD <= size <= self.segment if last else size == self.segment
        length = size.to_bytes(_LENGTH, "big") if last else _INNER
        if not fits or view[:_LENGTH] != length or not 0 <= number < MAX_SEGMENTS - (not last):
            raise _other_segment(number)
        nonce, sealed = view[_LENGTH : _LENGTH + _NONCE], view[_LENGTH + _NONCE :]
        try:
            return self._keys.cipher(number).decrypt(nonce, sealed, _associated(number, last=last))
        except InvalidTag:
            raise _other_segment(number) from None


class Opener:
    """Decrypts segments in order, from number ``first`` on; ``last`` is the number of the body's last one.

    They may end behind any segment: ``number`` says how far they went.
    """

    name = "open"

    def __init__(self, segments: Segments, *, first: int, last: int) -> None:
        self._segments = segments
        #: Number of the segment that comes next.
        self.number = first
        self._last = last
        self._held = _Buffer(segments.segment)
        #: What is held, and a plaintext.
        self.working_set = 2 * segments.segment

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Decrypt the segments that are complete. Raises ``DamagedArchive`` (layer ``seal``)."""
        view = memoryview(data)
        while view:
            if self.number > self._last:
                raise _behind()
            size = self._size(view)
            if not self._held.filled and len(view) >= size:  # no copy of what is here as a whole
                whole, view = view[:size], view[size:]
            else:
                view = self._held.fill(view, size)
                if self._held.filled < size:
                    return
                whole = self._held.take()
            last = self.number == self._last
            if last and view:
                raise _behind()
            plain = self._segments.open(self.number, whole, last=last)
            self.number += 1
            yield plain

    def finish(self) -> Iterator[bytes]:
        """Nothing. Raises ``DamagedArchive`` (layer ``seal``) when the bytes ended inside a segment."""
        if self._held.filled:
            raise DamagedArchive("seal", f"The archive ends inside segment {self.number}.")
        return iter(())

    def _size(self, view: memoryview) -> int:
        """Of the segment that begins with what is held and these bytes; more than these while it is not known."""
        if self.number < self._last:
            return self._segments.segment
        head = self._held.start(_LENGTH)
        head += bytes(view[: _LENGTH - len(head)])
        if len(head) < _LENGTH:
            return OVERHEAD  # at least
        size = int.from_bytes(head, "big")
        if not OVERHEAD <= size <= self._segments.segment:
            raise _other_segment(self.number)
        return size


def shape(body: int, segment: int = SEGMENT) -> tuple[int, int]:
    """How many segments a body of so many bytes has, its header included, and how many bytes the last one.

    Raises ``DamagedArchive`` (layer ``seal``) when no body has this size.
    """
    inner, last = divmod(body - HEADER - 1, segment)
    count, last = inner + 1, last + 1
    if body < HEADER + OVERHEAD or last < OVERHEAD or count > MAX_SEGMENTS:
        raise DamagedArchive("seal", "The archive has a size that no archive of this format has.")
    return count, last


def _other_segment(number: int) -> DamagedArchive:
    return DamagedArchive("seal", f"Segment {number} of the archive's body is not the one that was sealed there.")


def _behind() -> DamagedArchive:
    return DamagedArchive("seal", "There are bytes behind the end of the archive.")
