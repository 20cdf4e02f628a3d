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

VECTORS = Path(__file__).resolve().parent.parent / "formats" / "vectors"
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


# Text that is not UTF-8 ---------------------------------------------------------------------------------------

NAMED = ["inspect", "verify", "restore --dry-run", "delete --yes", "contents", "diff", "download", "url", "pin"]


@pytest.mark.parametrize("command", [*NAMED, "export --secrets x", "rewrap --drop-password", "convert --format v2"])
def test_a_name_that_is_not_utf_8(command: str, call: Call) -> None:
    """No archive has one; Python keeps its bytes as halves of pairs, which no request can hold."""
    told = call(*command.split(), "\udcff.enc")
    assert told.status == 2
    assert "NAME: it is not UTF-8" in told.err


@pytest.mark.parametrize(
    "key", [key for key in KEYS.values() if key.kind in {"text", "names"} and not key.choices], ids=lambda key: key.name
)
@pytest.mark.parametrize("bad", ["canary\udcff", "\ud800"], ids=["bytes", "half a pair"])
def test_a_variable_that_is_not_utf_8(key: Key, bad: str) -> None:
    """Its name is told, and its value, which may be a secret, is not; nobody else is blamed."""
    with pytest.raises(ConfigurationError, match=key.variable) as caught:
        load(environment={key.variable: bad})
    assert "canary" not in str(caught.value)
    assert bad[-1] not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("KLEIDIA_VAULT_ROOTS", r'[{"mount": "\ud800"}]'),
        ("KLEIDIA_VAULT_ROOTS", '[{"mount": "a", "path": "\udcff"}]'),
        ("KLEIDIA_DRILL_CHECKS", r'[{"name": "a", "secret": "\udfff"}]'),
        ("VAULT_NAMESPACE", "\udcff"),
        ("AWS_REGION", "\udcff"),
    ],
)
def test_other_variables_that_are_not_utf_8(variable: str, text: str) -> None:
    """Those of other tools, and texts within JSON."""

    def read() -> None:
        config = load(environment={variable: text})
        config.get("vault", "namespace", str)
        config.get("store", "region", str)

    with pytest.raises(ConfigurationError, match=variable):
        read()


def test_files_are_called_by_bytes() -> None:
    """Their names may be no text at all."""
    config = load(environment={"KLEIDIA_STORE_PATH": "/mnt/\udcff", "KLEIDIA_STORE_CA_FILE": "\udcff"})
    assert config.get("store", "path", Path) == Path("/mnt/\udcff")


def test_a_locale_of_few_characters(
    spawn: Call, call: Call, configured: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Names and values are UTF-8 whatever it is: an archive is listed, and found by its name, on the disk too."""
    store = tmp_path / "archives"
    (store / "süd").mkdir(parents=True)
    (store / "süd" / "😀.enc").write_bytes((VECTORS / "ok-plain.enc").read_bytes())
    configured(f'[store]\ntype = "directory"\npath = "{store}"\n')
    monkeypatch.setenv("KLEIDIA_STORE_PREFIX", "süd/")
    for asked in (call, spawn):
        if asked is spawn:
            for name, value in (("LC_ALL", "C"), ("PYTHONUTF8", "0"), ("PYTHONCOERCECLOCALE", "0")):
                monkeypatch.setenv(name, value)
        (line,) = asked("list", "--json").json["archives"]
        assert line["name"] == "süd/😀.enc"
        assert asked("inspect", "😀.enc", "--json").json["name"] == "süd/😀.enc"
