"""What forms send: texts by their names. Nothing of it is repeated in a message."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from ..api.problems import ApiError

if TYPE_CHECKING:
    from fastapi import Request

#: Fields that one form may have.
_MOST = 200


class Form(dict[str, str]):
    """The fields of a form; of one that comes twice the last. An empty one counts as left out."""

    def text(self, name: str) -> str:
        """A field without blanks around it; empty where it is left out."""
        return self.get(name, "").strip()

    def ticked(self, name: str) -> bool:
        """Whether a box is ticked."""
        return name in self

    def listed(self, name: str) -> list[str]:
        """A field with one thing a line, or with commas between."""
        return [part.strip() for part in self.get(name, "").replace(",", "\n").splitlines() if part.strip()]


async def read(request: Request) -> Form:
    """The form that a request brings. Raises ``ApiError``."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise ApiError(415, "media-type", "The request is no form", "It is no form.", "Use the page's own buttons.")
    try:
        pairs = parse_qsl(
            (await request.body()).decode(), keep_blank_values=True, max_num_fields=_MOST, errors="strict"
        )
    except ValueError:
        raise ApiError(
            400, "bad-request", "The form cannot be read", "It cannot be read.", "Load the page again."
        ) from None
    return Form({name: value for name, value in pairs if value})
