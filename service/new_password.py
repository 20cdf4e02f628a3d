"""What an encryption password must be like that archives are made with. One that opens an archive may be anything."""

from __future__ import annotations

from ..stages.errors import ConfigurationError

#: Characters that it has at least. Whoever has an archive may guess as long as he likes.
SHORTEST = 12


def check_new_password(password: str) -> None:
    """Refuse a password that could be guessed. Raises ``ConfigurationError``, which does not repeat it."""
    if len(password) < SHORTEST:
        raise ConfigurationError(
            f"The encryption password is shorter than {SHORTEST} characters: whoever gets an archive could guess it.",
            hint="Choose a longer one. Archives that were made with another are still opened by that one.",
        )
