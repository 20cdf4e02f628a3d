"""One POST: no redirect is followed, no proxy or netrc is asked, and nothing of the answer is shown."""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp

from .channel import PATIENCE, NotSent

#: Answers of this class that ask for patience: time-out, too early, too many.
_LATER = {408, 425, 429}


async def post(url: str, body: bytes, headers: Mapping[str, str]) -> None:
    """POST ``body``. Raises ``NotSent``: ``timeout``, ``tls``, ``unreachable``, ``unusable_url`` or ``http_503``."""
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
            session.post(
                url, data=body, headers={"User-Agent": "kleidia-backup", **headers}, allow_redirects=False
            ) as answer,
        ):
            status = answer.status
    except (TimeoutError, aiohttp.ServerTimeoutError):
        raise NotSent("timeout") from None
    except (aiohttp.ClientSSLError, aiohttp.ClientConnectorCertificateError):
        raise NotSent("tls") from None
    except (aiohttp.InvalidURL, UnicodeError):
        raise NotSent("unusable_url") from None
    except (aiohttp.ClientError, OSError):
        raise NotSent("unreachable") from None
    if not 200 <= status < 300:
        raise NotSent(f"http_{status}", refused=400 <= status < 500 and status not in _LATER)
