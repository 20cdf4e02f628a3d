"""That a listing of several pages comes to its end: what a store says of where it goes on is not believed blindly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....errors import StoreError

if TYPE_CHECKING:
    from ..settings import S3Settings


class Pages:
    """The pages of one listing, ``operation`` in S3's words."""

    def __init__(self, settings: S3Settings, operation: str) -> None:
        self._settings = settings
        self._operation = operation
        self._seen: set[str] = set()

    def goes_on(self, truncated: object, marker: object, first: str) -> bool:
        """Whether another page is to be asked for, behind ``marker``. ``first`` is the first name of this page.

        Raises ``StoreError`` where there would have to be one and the store does not say where, or where this page or
        its marker was there before: what such a listing leaves out nobody would miss.
        """
        if not truncated:
            return False
        again = {f"marker {marker}", *([f"first {first}"] if first else [])}
        if not marker or again & self._seen:
            raise StoreError(
                f"{self._settings.where} gives the pages of {self._operation} wrongly: it says that there are more, and"
                f" {'gives one again' if marker else 'not where'}.",
                hint="A listing cannot be trusted there: use another store, or a newer version of it.",
            )
        self._seen |= again
        return True
