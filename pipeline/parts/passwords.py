"""What an encryption password must be like that archives are made with. One that opens an archive may be anything.

One rule for the command, the service and the library: a length, and an estimate of how many guesses it takes. Whoever
has an archive may guess as long as he likes; Argon2id makes each guess cost about a tenth of a second and 64 MiB.
Light: ``--help`` imports it.
"""

from __future__ import annotations

from ...stages.errors import ConfigurationError

#: Characters that it has at least.
SHORTEST = 12
#: Guesses that zxcvbn says it takes at least, as a power of ten: enough where each guess is slow.
_GUESSES = 8
#: Characters that zxcvbn looks at; it takes far longer for more.
_LOOKED_AT = 72
#: What is guessed first here.
_NEAR = ("kleidia", "kleidia-backup", "backup", "postgres", "postgresql", "openbao", "vault", "encryption", "archive")
#: The rule in words, for `--help` and documents.
RULE = (
    f"A new encryption password has at least {SHORTEST} characters, and takes at least 10^{_GUESSES} guesses by the "
    "estimate of zxcvbn. One that opens an archive may be anything."
)
_HINT = (
    "Choose a longer one, such as the output of `openssl rand -base64 24`, and keep it. Archives that were made with "
    "another are still opened by that one."
)


def check_password(password: str) -> None:
    """Refuse a password that cannot be meant. Raises ``ConfigurationError``."""
    if not password:
        raise ConfigurationError("The encryption password is empty.", hint="Give one; it must not be lost.")
    try:
        password.encode()
    except UnicodeEncodeError:
        raise ConfigurationError(
            "The encryption password is not UTF-8.", hint="Save the password file, or set the terminal, as UTF-8."
        ) from None


def check_new_password(password: str) -> None:
    """Refuse a password that could be guessed. Raises ``ConfigurationError``, which does not repeat it."""
    check_password(password)
    if len(password) < SHORTEST:
        raise ConfigurationError(
            f"The encryption password is shorter than {SHORTEST} characters: whoever gets an archive could guess it.",
            hint=_HINT,
        )
    if not _is_strong(password):
        raise ConfigurationError(
            f"The encryption password is long, but easily guessed: less than 10^{_GUESSES} guesses find it, by the "
            "estimate of zxcvbn.",
            hint=_HINT,
        )


def check_making(password: str, *, allow_weak: bool) -> None:
    """Refuse a password that no archive is made with; weak ones are taken where a program says so.

    Raises ``ConfigurationError``.
    """
    (check_password if allow_weak else check_new_password)(password)


def _is_strong(password: str) -> bool:
    # Only who makes archives waits for its lists of words to be loaded.
    from zxcvbn import zxcvbn

    looked_at = {password[:_LOOKED_AT], password[-_LOOKED_AT:]}
    return any(float(zxcvbn(each, user_inputs=[*_NEAR])["guesses_log10"]) >= _GUESSES for each in looked_at)
