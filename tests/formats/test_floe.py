"""FLOE agrees with other implementations, for any cut of the data, and gives no byte of what was changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kleidia_backup.formats.errors import DamagedArchive, PayloadError
from kleidia_backup.formats.v2 import floe
from kleidia_backup.formats.v2.floe import HEADER, OVERHEAD, SEGMENT, Opener, Sealer, Segments, shape
from kleidia_backup.pipeline.engine import Transform

KATS = Path(__file__).parent / "floe_kats"
KEY, AAD = bytes(range(32)), b"bound to this"
#: Segments of 40 bytes seal 8 each.
SMALL, PLAIN = 40, 8
CUTS = st.lists(st.integers(0, 400), max_size=8)


def pieces(data: bytes, cuts: Iterable[int]) -> Iterator[bytes]:
    """The data, cut at these places; some pieces may be empty."""
    for start, end in pairwise([0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]):
        yield data[start:end]


def run(transform: Transform, data: Iterable[bytes]) -> list[bytes]:
    """What a transform makes of them, its end included."""
    return [made for piece in data for made in transform.feed(piece)] + list(transform.finish())


def seal(plain: bytes, segment: int = SMALL) -> list[bytes]:
    """The header and the segments."""
    return run(Sealer(KEY, AAD, segment=segment), [plain])


def collect(transform: Transform, data: Iterable[bytes], given: bytearray) -> None:
    """The same without the end, into ``given``: also what comes before a transform raises."""
    for piece in data:
        for made in transform.feed(piece):
            given += made


def read(body: bytes, given: bytearray, *, key: bytes = KEY, aad: bytes = AAD, segment: int = SMALL) -> None:
    """Open a whole body as a reader must: the last segment first, then all in order."""
    count, size = shape(len(body), segment)
    segments = Segments(key, aad, body[:HEADER], segment=segment)
    segments.open(count - 1, body[-size:], last=True)
    opener = Opener(segments, first=0, last=count - 1)
    collect(opener, [body[HEADER:]], given)
    assert list(opener.finish()) == []
    assert opener.number == count


def refused(body: bytes) -> bytes:
    """What a reader gives before it refuses a body."""
    given = bytearray()
    with pytest.raises(DamagedArchive) as raised:
        read(body, given)
    assert raised.value.layer == "seal"
    return bytes(given)


# Known answers --------------------------------------------------------------------------------------------------

SEGMENTS = {"64": 64, "4K": 4096, "rotation": 40, "lastSegAligned": 40, "lastSegEmpty": 40}


@pytest.mark.parametrize("name", sorted(path.name[:-7] for path in KATS.glob("*_ct.txt")))
def test_known_answers(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ciphertexts of five other implementations open to what they say."""
    kind = name.rpartition("_")[2]
    if kind == "rotation":
        monkeypatch.setattr(floe, "ROTATION", 2)
    body, plain = (bytes.fromhex((KATS / f"{name}_{what}.txt").read_text()) for what in ("ct", "pt"))
    given = bytearray()
    read(body, given, key=bytes(32), aad=b"This is AAD", segment=SEGMENTS[kind])
    assert given == plain


def test_all_known_answers_are_there() -> None:
    """Three of each of five implementations, and two more."""
    assert len([*KATS.glob("*_ct.txt")]) == len([*KATS.glob("*_pt.txt")]) == 17


# Round trips ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, *(n * PLAIN + d for n in (1, 2, 3, 7) for d in (-1, 0, 1))])
def test_edges_of_segments(size: int) -> None:
    """A full last segment has no empty one behind it; an empty payload has one empty segment."""
    plain = bytes(range(size))
    header, *segments = seal(plain)
    assert len(header) == HEADER
    assert len(segments) == max(1, -(-size // PLAIN))
    assert {len(segment) for segment in segments[:-1]} <= {SMALL}
    assert sum(map(len, segments)) == size + OVERHEAD * len(segments)
    body = header + b"".join(segments)
    assert shape(len(body), SMALL) == (len(segments), len(segments[-1]))
    given = bytearray()
    read(body, given)
    assert given == plain


@pytest.mark.parametrize("off", [-1, 0, 1])
def test_segments_of_the_format(off: int) -> None:
    """The same with the size that V2 has: four segments and a few bytes from one large piece."""
    plain = bytes(range(251)) * (4 * SEGMENT // 251 + 1)
    plain = plain[: 4 * (SEGMENT - OVERHEAD) + off]
    header, *segments = run(Sealer(KEY, AAD), [plain])
    assert len(segments) == 4 + (off > 0)
    assert shape(HEADER + sum(map(len, segments))) == (len(segments), len(segments[-1]))
    opener = Opener(Segments(KEY, AAD, header), first=0, last=len(segments) - 1)
    assert b"".join(run(opener, [b"".join(segments)])) == plain


@given(plain=st.binary(max_size=100), cuts=CUTS, again=CUTS)
def test_any_cut_of_the_input_means_the_same(plain: bytes, cuts: list[int], again: list[int]) -> None:
    """When sealing and when opening."""
    header, *segments = run(Sealer(KEY, AAD, segment=SMALL), pieces(plain, cuts))
    assert [len(segment) for segment in segments] == [len(segment) for segment in seal(plain)[1:]]
    opener = Opener(Segments(KEY, AAD, header, segment=SMALL), first=0, last=len(segments) - 1)
    assert b"".join(run(opener, pieces(b"".join(segments), again))) == plain


@given(plain=st.binary(min_size=1, max_size=100), data=st.data())
def test_any_range_of_segments(plain: bytes, data: st.DataObject) -> None:
    """Opened in the middle and ended behind any segment."""
    header, *segments = seal(plain)
    first = data.draw(st.integers(0, len(segments) - 1))
    end = data.draw(st.integers(first, len(segments)))
    opener = Opener(Segments(KEY, AAD, header, segment=SMALL), first=first, last=len(segments) - 1)
    assert b"".join(run(opener, segments[first:end])) == plain[first * PLAIN : end * PLAIN]
    assert opener.number == end


def test_nothing_fed_is_an_empty_payload() -> None:
    """The header comes with the end."""
    assert [len(part) for part in run(Sealer(KEY, AAD), [])] == [HEADER, OVERHEAD]


def test_an_archive_has_its_own_keys_and_nonces() -> None:
    """The same payload twice under one key has nothing in common but parameters and length fields."""
    one, two = seal(bytes(16)), seal(bytes(16))
    assert one[0][:10] == two[0][:10] == bytes.fromhex("00000000002800000020")
    assert one[0][10:] != two[0][10:]
    assert all(a[4:16] != b[4:16] and a[16:] != b[16:] for a, b in zip(one[1:], two[1:], strict=True))


# Rotation and limits --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [2**20 - 1, 2**20, 2**20 + 1, 2**40 - 1])
def test_segments_of_later_keys(number: int) -> None:
    """Behind 2^20 segments comes another key; what was sealed at one place opens there alone."""
    sealer = Sealer(KEY, AAD, segment=SMALL)
    sealer._number = number
    header, last = run(sealer, [b"content"])
    segments = Segments(KEY, AAD, header, segment=SMALL)
    assert segments.open(number, last, last=True) == b"content"
    for other in (number - 1, number + 1, number % 2**20, number ^ 2**20):
        if other != number:
            with pytest.raises(DamagedArchive):
                segments.open(other, last, last=True)


def test_the_key_changes_every_2_to_the_20() -> None:
    """Neither earlier nor later, and back."""
    keys = Segments(KEY, AAD, seal(b"")[0], segment=SMALL)._keys
    first = keys.cipher(0)
    assert keys.cipher(2**20 - 1) is first
    second = keys.cipher(2**20)
    sealed = second.encrypt(bytes(12), b"content", None)
    assert keys.cipher(0).encrypt(bytes(12), b"content", None) == first.encrypt(bytes(12), b"content", None) != sealed
    assert keys.cipher(2**21 - 1).encrypt(bytes(12), b"content", None) == sealed


def test_most_segments() -> None:
    """The highest number is for the last segment alone, when sealing, opening and counting."""
    sealer = Sealer(KEY, AAD, segment=SMALL)
    list(sealer.feed(bytes(PLAIN)))
    sealer._number = 2**40 - 1
    with pytest.raises(PayloadError):
        list(sealer.feed(b"1"))
    header, whole, _last = seal(bytes(PLAIN + 1))
    segments = Segments(KEY, AAD, header, segment=SMALL)
    for number in (-1, 2**40 - 1):
        with pytest.raises(DamagedArchive):
            segments.open(number, whole, last=False)
    assert shape(HEADER + 2**40 * SMALL, SMALL) == (2**40, SMALL)
    with pytest.raises(DamagedArchive):
        shape(HEADER + 2**40 * SMALL + OVERHEAD, SMALL)


def test_sizes_that_no_body_has() -> None:
    """Shorter than a header and a segment, or with a last segment that is shorter than an empty one."""
    for size in range(HEADER + 3 * SMALL + 1):
        last = (size - HEADER) % SMALL
        if size < HEADER + OVERHEAD or 0 < last < OVERHEAD:
            with pytest.raises(DamagedArchive):
                shape(size, SMALL)
        else:
            assert shape(size, SMALL) == (-(-(size - HEADER) // SMALL), last or SMALL)


def test_a_key_has_32_bytes() -> None:
    """Anything else is a mistake of the program."""
    for size in (0, 31, 33):
        with pytest.raises(ValueError, match="32 bytes"):
            Sealer(bytes(size), AAD)
        with pytest.raises(ValueError, match="32 bytes"):
            Segments(bytes(size), AAD, bytes(HEADER))


# Damage ---------------------------------------------------------------------------------------------------------

#: A body whose last segment is short, and one whose last is full.
PAYLOADS = pytest.mark.parametrize("plain", [bytes(range(35)), bytes(range(40))], ids=["short last", "full last"])


@PAYLOADS
def test_a_cut_body_gives_nothing(plain: bytes) -> None:
    """Cut at any byte, at the ends of segments too; or with bytes behind its end."""
    body = b"".join(seal(plain))
    for size in range(len(body)):
        assert refused(body[:size]) == b""
    for more in (1, 5, OVERHEAD, SMALL):
        assert refused(body + bytes(more)) == b""


@PAYLOADS
def test_every_changed_byte_is_noticed(plain: bytes) -> None:
    """In header, length fields, nonces, ciphertext and tags; nothing of that segment is given."""
    parts = seal(plain)
    body = b"".join(parts)
    for place in range(len(body)):
        changed = bytearray(body)
        changed[place] ^= 1
        number = max(0, (place - HEADER) // SMALL)
        given = refused(bytes(changed))
        assert given == (b"" if place < HEADER or number == len(parts) - 2 else plain[: number * PLAIN])


def _without(parts: list[bytes]) -> list[bytes]:
    return parts[:2] + parts[3:]


def _doubled(parts: list[bytes]) -> list[bytes]:
    return [*parts[:3], parts[2], *parts[3:]]


def _swapped(parts: list[bytes]) -> list[bytes]:
    return [*parts[:2], parts[3], parts[2], *parts[4:]]


def _first_last(parts: list[bytes]) -> list[bytes]:
    return [parts[0], *parts[2:], parts[1]]


@PAYLOADS
@pytest.mark.parametrize(("change", "right"), [(_without, 1), (_doubled, 2), (_swapped, 1), (_first_last, 0)])
def test_segments_in_other_places(plain: bytes, change: Callable[[list[bytes]], list[bytes]], right: int) -> None:
    """Left out, doubled, swapped, moved to the end: what stands in the wrong place is not given."""
    parts = change(seal(plain))
    body = b"".join(parts)
    # Where the number of segments is another, the last one does not fit, and nothing is given at all.
    assert refused(body) == (plain[: right * PLAIN] if change is _swapped else b"")
    opener = Opener(Segments(KEY, AAD, parts[0], segment=SMALL), first=0, last=len(parts) - 2)
    given = bytearray()
    with pytest.raises(DamagedArchive):
        collect(opener, pieces(body[HEADER:], range(0, len(body), 7)), given)
    assert given == plain[: right * PLAIN]


def test_a_last_segment_is_no_inner_one_and_the_reverse() -> None:
    """Also when its length field is changed to fit."""
    header, *inner, last = seal(bytes(range(40)))
    segments = Segments(KEY, AAD, header, segment=SMALL)
    assert segments.open(4, last, last=True) == bytes(range(32, 40))
    mask = b"\xff" * 4
    for data in (last, mask + last[4:]):
        with pytest.raises(DamagedArchive):
            segments.open(4, data, last=False)
    for data in (inner[1], SMALL.to_bytes(4, "big") + inner[1][4:]):
        with pytest.raises(DamagedArchive):
            segments.open(1, data, last=True)
    body = b"".join([header, *inner[:2], SMALL.to_bytes(4, "big") + inner[2][4:]])
    assert refused(body) == b""


def test_segments_of_another_body_with_the_same_key() -> None:
    """Neither an inner one, nor the last, nor all behind another header."""
    one, two = seal(bytes(range(40))), seal(bytes(range(40)))
    assert refused(b"".join([*one[:2], two[2], *one[3:]])) == bytes(range(PLAIN))
    assert refused(b"".join([*one[:-1], two[-1]])) == b""
    assert refused(b"".join([one[0], *two[1:]])) == b""


def test_header_of_another_key_size_or_binding() -> None:
    """Nothing is opened with it."""
    header = seal(b"content")[0]
    for key, aad, data, segment in (
        (bytes(32), AAD, header, SMALL),
        (KEY, b"other", header, SMALL),
        (KEY, AAD, header, SMALL + 1),
        (KEY, AAD, header[:-1], SMALL),
        (KEY, AAD, header + b"\0", SMALL),
        (KEY, AAD, b"", SMALL),
    ):
        with pytest.raises(DamagedArchive) as raised:
            Segments(key, aad, data, segment=segment)
        assert raised.value.layer == "seal"


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_an_opener_ends_between_segments(step: int) -> None:
    """Inside one it refuses to, and has given the others; behind the last it takes nothing."""
    header, *segments = seal(bytes(range(35)))
    data = b"".join(segments)
    for size in range(len(data) + 1):
        opener = Opener(Segments(KEY, AAD, header, segment=SMALL), first=0, last=4)
        feed = range(0, size, step)
        given = b"".join(part for at in feed for part in opener.feed(data[at : min(at + step, size)]))
        whole = size // SMALL if size < len(data) else len(segments)
        assert given == bytes(range(35))[: whole * PLAIN]
        assert opener.number == whole
        if size % SMALL and size < len(data):
            with pytest.raises(DamagedArchive):
                list(opener.finish())
        else:
            assert list(opener.finish()) == []
    with pytest.raises(DamagedArchive):
        list(opener.feed(b"\0"))


@pytest.mark.parametrize("size", [0, OVERHEAD - 1, SMALL + 1, 2**32 - 1])
def test_length_of_the_last_segment(size: int) -> None:
    """Its length field says at once when it cannot be."""
    header, *segments = seal(bytes(range(35)))
    opener = Opener(Segments(KEY, AAD, header, segment=SMALL), first=4, last=4)
    with pytest.raises(DamagedArchive):
        list(opener.feed(size.to_bytes(4, "big") + segments[4][4:5]))


def test_bytes_behind_the_last_segment() -> None:
    """When they come with it, not even the last one is given."""
    header, *segments = seal(bytes(range(35)))
    given = bytearray()
    with pytest.raises(DamagedArchive):
        collect(
            Opener(Segments(KEY, AAD, header, segment=SMALL), first=3, last=4), [b"".join(segments[3:]) + b"\0"], given
        )
    assert given == bytes(range(24, 32))


@pytest.mark.parametrize(("size", "last"), [(PLAIN - 1, False), (PLAIN + 1, False), (PLAIN + 1, True)])
def test_sizes_that_no_segment_has(size: int, last: bool) -> None:
    """Refused also when the key's owner sealed them."""
    segments = Segments(KEY, AAD, seal(b"")[0], segment=SMALL)
    length = (size + OVERHEAD).to_bytes(4, "big") if last else b"\xff" * 4
    sealed = segments._keys.cipher(0).encrypt(bytes(12), bytes(size), bytes(8) + bytes([last]))
    with pytest.raises(DamagedArchive):
        segments.open(0, length + bytes(12) + sealed, last=last)


def test_no_segment_is_shorter_than_an_empty_one() -> None:
    """Of no bytes too."""
    segments = Segments(KEY, AAD, seal(b"")[0], segment=SMALL)
    for size in range(OVERHEAD):
        with pytest.raises(DamagedArchive):
            segments.open(0, (size.to_bytes(4, "big") + bytes(OVERHEAD))[:size], last=True)
