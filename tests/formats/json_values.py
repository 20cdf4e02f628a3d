"""Whether bytes are JSON, as the scanner says."""

from __future__ import annotations

from kleidia_backup.formats.json.scan import MalformedJson, ValueScanner


def check_value(raw: bytes) -> None:
    """Check that bytes are one JSON value and nothing else. Raises ``MalformedJson``."""
    text = raw + b" "
    end = ValueScanner().scan(text)
    if end is None:
        raise MalformedJson("ends early")
    if text[end:].strip(b" \t\n\r"):
        raise MalformedJson("more than one value")
