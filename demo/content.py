"""What the demo's application keeps: rows and secrets with the shapes, and the awkward characters, of real ones.

None of it is anybody's: keys and certificates are random bytes in the right clothes.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

Row = tuple[Any, ...]

_START = datetime(2026, 1, 17, 12, tzinfo=UTC)
_ACTIONS = ("login", "key.enrolled", "key.revoked", "certificate.issued", "pin.reset", "backup.completed")
_SLOTS = ("9a", "9c")
#: Text that breaks what quotes carelessly: quotes, backslashes, what COPY and psql treat specially, far characters.
_AWKWARD = (
    'Bob\'s "spare" key',
    "C:\\keys\\n",
    "\\.",
    "tab\tand\nnew line",
    "\\N",
    "ключ 鍵 🔑",
    "\u2028\u2029\x7f",
    "",
)


def organizations(count: int, rng: random.Random) -> Iterator[Row]:
    """Name, settings, created_at."""
    for number in range(1, count + 1):
        settings = {
            "pin_length": rng.randint(6, 8),
            "policy": {"touch": rng.random() < 0.5, "notes": rng.choice(_AWKWARD)},
        }
        yield f"Organization {number}", json.dumps(settings), _START


def users(count: int, organizations_count: int, rng: random.Random) -> Iterator[Row]:
    """Organization, email, display name, password hash, is_admin, created_at, last_login."""
    for number in range(1, count + 1):
        login = _START + timedelta(minutes=rng.randrange(500_000)) if rng.random() < 0.9 else None
        yield (
            rng.randint(1, organizations_count), f"user{number}@example.org", f"Usér {number}: {_AWKWARD[number % 2]}",
            "$argon2id$v=19$m=65536,t=3,p=4$" + _base64(rng, 48), number == 1, _START, login,
        )  # fmt: skip


def keys(count: int, users_count: int, rng: random.Random) -> Iterator[Row]:
    """Serial, user, status, firmware, notes, enrolled_at, updated_at."""
    for number in range(count):
        active = rng.random() < 0.8
        yield (
            serial(number), rng.randint(1, users_count) if active else None, "active" if active else "lost",
            f"5.{rng.randint(2, 7)}.{rng.randint(0, 9)}", _AWKWARD[number % len(_AWKWARD)],
            _START if active else None, _START + timedelta(seconds=number),
        )  # fmt: skip


def certificates(count: int, rng: random.Random) -> Iterator[Row]:
    """Key, slot, subject, fingerprint, PEM, not_after."""
    for number in range(1, count + 1):
        for slot in _SLOTS[: 1 + number % 2]:
            yield (
                number, slot, f"CN=key {number}, O=Example \"Org\"", rng.randbytes(32), _pem("CERTIFICATE", rng, 600),
                _START + timedelta(days=365 + number % 700),
            )  # fmt: skip


def jobs(users_count: int) -> Iterator[Row]:
    """Kind, status, triggered_by, file name, error, started_at, finished_at."""
    for number in range(20):
        started = _START + timedelta(days=number)
        failed = number % 7 == 3
        yield (
            "backup", "failed" if failed else "completed", 1 + number % users_count if number % 2 else None,
            f"backup-full-{started:%Y%m%d}-020000.enc", "connection refused" if failed else None,
            started, started + timedelta(seconds=40),
        )  # fmt: skip


def audit(count: int, users_count: int, rng: random.Random) -> Iterator[str]:
    """User, action, address, host name, details, created_at: as COPY text, since there can be a million."""
    for number in range(count):
        details = {"serial": serial(rng.randrange(10**6)), "agent": "Mozilla/5.0 (X11; Linux x86_64)", "n": number}
        moment = _START + timedelta(seconds=number)
        yield (
            f"{rng.randint(1, users_count)}\t{_ACTIONS[number % len(_ACTIONS)]}\t10.{number % 256}.{number % 7}.1\t"
            f"host-{number % 50}.example.org\t{json.dumps(details)}\t{moment.isoformat()}\n"
        )


def system_secrets(rng: random.Random) -> list[tuple[str, dict[str, Any]]]:
    """The application's own secrets: path and value."""
    return [
        ("jwt-secret", {"secret": _base64(rng, 48)}),
        ("database", {"username": "kleidia", "password": rng.randbytes(12).hex() + "\"'\\ü"}),
        ("s3", {"access_key_id": "AKIA" + rng.randbytes(8).hex().upper(), "secret_access_key": _base64(rng, 30)}),
        ("backup", {"encryption_password": _base64(rng, 24), "rotated": None}),
        ("smtp", {"host": "mail.example.org", "port": 587, "tls": True, "from": ["a@example.org", "ü@example.org"]}),
        ("ca", {"certificate": _pem("CERTIFICATE", rng, 900), "private_key": _pem("EC PRIVATE KEY", rng, 121)}),
        ("ca/intermediate", {"certificate": _pem("CERTIFICATE", rng, 900), "serial": 9007199254740991}),
    ]


def piv(number: int, rng: random.Random) -> dict[str, Any]:
    """What is kept of one security key."""
    return {
        "management_key": rng.randbytes(24).hex(),
        "pin": f"{rng.randrange(10**6):06d}",
        "puk": f"{rng.randrange(10**8):08d}",
        "slots": {"9a": {"algorithm": "ECCP256", "private_key": _pem("EC PRIVATE KEY", rng, 121)}},
        "retries": {"pin": 3, "puk": 3},
        "note": _AWKWARD[number % len(_AWKWARD)],
    }


def serial(number: int) -> str:
    """A key's serial number."""
    return str(10_000_000 + number * 7)


def _base64(rng: random.Random, size: int) -> str:
    return base64.b64encode(rng.randbytes(size)).decode()


def _pem(kind: str, rng: random.Random, size: int) -> str:
    text = _base64(rng, size)
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return "\n".join([f"-----BEGIN {kind}-----", *lines, f"-----END {kind}-----", ""])
