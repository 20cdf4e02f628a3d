"""What README shows of the command can be typed, and its configuration can be used."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

from kleidia_backup.cli import build_parser
from kleidia_backup.service.config import load
from kleidia_backup.service.exit_codes import EXIT_CODES
from kleidia_backup.service.settings import database_settings, store_settings, vault_settings

README = Path(__file__).parents[2] / "README.md"


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_every_command_in_the_readme_is_understood() -> None:
    """Each line that calls kleidia-backup is one the parser takes."""
    found = 0
    for block in _blocks("sh"):
        for line in re.split(r"\n|&&", block.replace("\\\n", "")):
            words = shlex.split(line.partition(">")[0], comments=True)
            if words and words[0].rpartition("/")[2] == "kleidia-backup":
                build_parser().parse_args(words[1:])
                found += 1
    assert found


def test_the_readme_has_the_exit_statuses_of_help() -> None:
    """The same statuses with the same words."""
    table = README.read_text(encoding="utf-8").partition("| exit status | meaning |\n")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", table, re.MULTILINE)
    assert {int(code): meaning for code, meaning in rows} == EXIT_CODES


def test_the_configuration_in_the_readme_can_be_used(configured: Callable[[str], Path], tmp_path: Path) -> None:
    """It has all parts, and every key exists."""
    (text,) = (block for block in _blocks("toml") if "[database]" in block)
    for name in re.findall(r'"/run/secrets/([^"]+)"', text):
        (tmp_path / name).write_text("a secret\n", encoding="utf-8")
    configured(text.replace("/run/secrets", str(tmp_path))).chmod(0o644)
    config = load(environment={})
    assert config.warnings == ()
    assert database_settings(config) is not None
    assert vault_settings(config) is not None
    assert store_settings(config).prefix
