"""Which parts of an upload are there, and whether they make a whole."""

from __future__ import annotations

from ..errors import InternalError

#: Most parts that S3 takes.
MAX_PARTS = 10_000


class UploadParts:
    """The sizes of an upload's parts: numbers from 1, all of ``part_size`` bytes but the last."""

    def __init__(self, name: str, part_size: int) -> None:
        self._name = name
        self._part_size = part_size
        self._sizes: dict[int, int] = {}

    def require_fit(self, number: int, size: int) -> None:
        """Raise ``InternalError`` unless part ``number`` may have ``size`` bytes."""
        if not 1 <= number <= MAX_PARTS or not 0 < size <= self._part_size:
            raise InternalError(f"Part {number} of {size} bytes does not fit the upload of {self._name}.")

    def add(self, number: int, size: int) -> None:
        """Record a part that the store has; a repeated one replaces the first."""
        self._sizes[number] = size

    def require_whole(self, size: int) -> None:
        """Raise ``InternalError`` unless the parts make one object of ``size`` bytes."""
        count = len(self._sizes)
        full = all(self._sizes.get(number) == self._part_size for number in range(1, count))
        if not count or count not in self._sizes or not full or self.total != size:
            raise InternalError(f"The {count} parts of {self._name} do not make an object of {size} bytes.")

    @property
    def total(self) -> int:
        """Bytes of all parts."""
        return sum(self._sizes.values())
