"""A quick look at the first bytes of a ciphertext: does this key open it?"""

from __future__ import annotations

from .errors import ArchiveError
from .gzip import GzipDecoder
from .seal import TAG_SIZE, Opener

#: Bytes of ciphertext that are enough to see a gzip header and the first character of the payload.
PEEK = 64 * 1024


def opens(key: bytes, nonce: bytes, head: bytes) -> bool:
    """Whether the first bytes (``PEEK``, or all with the tag if there are fewer) decrypt to gzip that holds JSON.

    A wrong key passes once in about 2^30; a right key on damaged bytes may fail. Nothing here authenticates.
    """
    # The opener holds back what may be the tag; of a longer ciphertext it just sees a little less.
    plain = Opener(key, nonce).update(head)
    if len(head) <= TAG_SIZE or not plain:
        return False
    decoder = GzipDecoder(PEEK)
    try:
        text = decoder.update(plain)
        while not text.strip() and decoder.pending:
            text = decoder.update(b"")
    except ArchiveError:
        return False
    return text.lstrip(b" \t\r\n").startswith(b"{")
