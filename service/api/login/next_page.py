"""Where somebody goes after a login: to a page of ours, never elsewhere."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

#: Longest address that is kept.
_LONGEST = 2000


def is_own(page: str, path: str) -> bool:
    """Whether it is an address on this server, below ``path``, for every browser.

    Browsers take a backslash for a slash and ``%2e`` for a dot, pass over tabs and line breaks, and read ``//host`` as
    another server.
    """
    if not page.startswith(f"{path}/") or page.startswith("//") or len(page) > _LONGEST:
        return False
    if "\\" in page or any(not "!" <= each <= "~" for each in page):
        return False
    try:
        parts = urlsplit(page)
    except ValueError:
        return False
    steps = re.sub("%2e", ".", parts.path, flags=re.IGNORECASE).split("/")
    return not parts.scheme and not parts.netloc and ".." not in steps
