"""A quick look at the first bytes of a ciphertext: does this key open it?"""

from __future__ import annotations

from ..codecs.gzip import GzipDecoder
from ..crypto.seal import TAG_SIZE, Opener
from ..errors import ArchiveError

#: Bytes of ciphertext that are enough to see a gzip header and the first character of the payload.
PEEK = 64 * 1024


def opens(key: bytes, nonce: bytes, head: bytes) -> bool:
    """Whether the first bytes (``PEEK``, or all with the tag if there are fewer) decrypt to gzip that holds JSON.

    A wrong key passes once in about 2^30; a right key on damaged bytes may fail. Nothing here authenticates.
    """
    # The opener holds back what may be the tag; of a longer ciphertext it just sees a little less.
    plain = b"".join(Opener(key, nonce).feed(head))
    if len(head) <= TAG_SIZE or not plain:
        return False
    try:
        text = next((text for text in GzipDecoder(PEEK).feed(plain) if text.strip()), b"")
    except ArchiveError:
        return False
    return text.lstrip(b" \t\r\n").startswith(b"{")
