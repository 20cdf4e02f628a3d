"""What can be wrong with an archive, and the base of every error we raise on purpose.

The base stands here because this is the lowest room: everything else may import it.
The whole tree is drawn in ``kleidia_backup.stages.errors``.
"""

from __future__ import annotations


class KleidiaError(Exception):
    """Base of every error this package raises on purpose; never raised itself.

    ``message`` says what is wrong and whose fault it is, ``hint`` what to do next.
    Neither ever holds a secret.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".rstrip()


class ArchiveError(KleidiaError):
    """The archive is at fault."""


class NotAnArchive(ArchiveError):
    """The object does not begin with the magic: it is something else."""


class UnsupportedArchive(ArchiveError):
    """A well-formed archive of a version, or with a size, that this reader does not take."""


class DamagedArchive(ArchiveError):
    """Bytes are missing, added or changed.

    ``layer`` names the first layer that noticed: ``header``, ``checksum``, ``seal``, ``gzip`` or ``payload``.
    """

    def __init__(self, layer: str, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint or "Restore from another archive; this one cannot be trusted.")
        self.layer = layer


class WrongPassword(ArchiveError):
    """The ciphertext is what was written (its checksum is right), but this password does not open it."""


class PayloadError(ArchiveError):
    """Data that no archive of this format can hold, found while writing one."""
