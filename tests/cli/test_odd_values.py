"""Values that a program can be given and nothing can use: each is refused, with the setting's name and no value."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kleidia_backup.config.keys import KEYS, Key
from kleidia_backup.config.reader import load
from kleidia_backup.stages.errors import ConfigurationError

from .conftest import Outcome

Call = Callable[..., Outcome]
Write = Callable[[str], Path]

DIGITS = "9" * 5000

# Numbers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [f"[database]\nport = {DIGITS}\n", f"[nothing]\nx = [{DIGITS}]\n"])
@pytest.mark.parametrize("command", ["config", "test-connection"])
def test_more_digits_than_python_reads(text: str, command: str, call: Call, configured: Write) -> None:
    """Wherever the number stands, the file is named, and not one digit of it shown."""
    configured(text)
    told = call(command)
    assert told.status == 2, told.everything
    assert "kleidia-backup.toml" in told.err
    assert "digits" in told.err
    assert "99" not in told.err


@pytest.mark.parametrize("number", [f"0x{'f' * 5000}", str(2**63), str(-(2**63) - 1)], ids=["hex", "above", "below"])
@pytest.mark.parametrize("key", [key for key in KEYS.values() if key.kind in {"integer", "size", "versions"}])
def test_a_number_beyond_64_bits(key: Key, number: str, configured: Write) -> None:
    """Python reads a hexadecimal one of any length, and cannot write it in decimal."""
    text = f"[{key.section}]\n{key.name} = {number}\n"
    with pytest.raises(ConfigurationError, match=key.name) as caught:
        load(path := configured(text), {})
    assert len(caught.value.message) < 300
    if not number.startswith("0x"):
        path.unlink()
        with pytest.raises(ConfigurationError, match=key.variable):
            load(environment={key.variable: number})


def test_a_roots_version_beyond_64_bits(configured: Write) -> None:
    """Within the list of roots too."""
    text = f'[vault]\nroots = [{{mount = "secret", kv_version = 0x{"f" * 5000}}}]\n'
    with pytest.raises(ConfigurationError, match="roots in"):
        load(configured(text), {})


@pytest.mark.parametrize("option", ["--limit", "--offset"])
def test_an_options_number_of_many_digits(option: str, call: Call) -> None:
    """Refused in our words, without the digits."""
    told = call("list", option, DIGITS)
    assert told.status == 2
    assert "it must be a whole number" in told.err
    assert "99" not in told.err
