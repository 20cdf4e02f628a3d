"""The configuration: any file and any environment gives settings, or an error that shows no value."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from kleidia_backup.config import build, key_files, service_build
from kleidia_backup.config.example import example
from kleidia_backup.config.keys import KEYS
from kleidia_backup.config.reader import Config, load
from kleidia_backup.config.risks import store_risks, vault_risks
from kleidia_backup.stages.errors import ConfigurationError

from ..harness import Finding, Harness, joined, parts, words
from ..room import room

#: Stands for a secret: no error shows it, wherever it is. No name of a key has these characters.
CANARY = "s3cr3t!canary"


def _file() -> Path:
    return room("config") / "config.toml"


def one(data: bytes) -> None:
    """``TOML ␞ NAME=value lines of the environment``."""
    toml, variables = parts(data, 2)
    file = _file()
    file.write_bytes(toml)
    file.chmod(0o600)
    environment: dict[str, str] = {}
    for line in variables.decode(errors="replace").split("\n"):
        name, _, value = line.partition("=")
        if name and "\0" not in line:
            environment[name] = value
    with _variables(environment):
        _read(lambda: load(file, environment))


def _read(work: Callable[[], Config]) -> None:
    config = _told(work)
    if not isinstance(config, Config):
        return
    if CANARY in repr(config):
        raise Finding("repr shows a value")
    for use in (
        build.database_settings,
        build.vault_settings,
        build.store_settings,
        build.configured_password,
        key_files.archive_keys,
        service_build.service_settings,
    ):
        _told(partial(use, config))
    for risks in (vault_risks, store_risks, key_files.exposed_keys):
        _told(lambda risks=risks: list(risks(config)))  # type: ignore[misc]
    for key in KEYS.values():
        _told(partial(config.get, key.section, key.name, object))


def _told(work: Callable[[], object]) -> object:
    """What it gives; None for the documented error, whose text shows no value."""
    try:
        return work()
    except ConfigurationError as exc:
        if CANARY in str(exc).replace(f"/{CANARY}", ""):  # a path is shown
            raise Finding(f"an error shows a value: {exc}") from exc
        return None


@contextmanager
def _variables(environment: Mapping[str, str]) -> Iterator[None]:
    """The process's own, for what reads them there."""
    before = dict(os.environ)
    try:
        os.environ.clear()
        os.environ.update(
            {name: value for name, value in environment.items() if name.isidentifier() and name.isascii()}
        )
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def seeds() -> Mapping[str, bytes]:
    """The printed example, by its sections, with every key; and variables over them."""
    lines = [
        line.removeprefix("#") if " = " in line and not line.startswith("# ") else line
        for line in example().splitlines()
    ]
    sections: dict[str, list[str]] = {}
    name = ""
    for line in lines:
        if line.startswith("["):
            name = line.strip("[]").partition(".")[0]
        if line and not line.startswith("#"):
            sections.setdefault(name, []).append(line)
    made = {section: joined("\n".join(found).encode(), b"") for section, found in sections.items()}
    least = f'[database]\nhost = "db"\npassword = "{CANARY}"\n'
    least += '[vault]\naddress = "http://vault:8200"\nroots = [{mount = "kv"}]\n'
    made["least"] = joined(least.encode(), f"KLEIDIA_STORE_TYPE=directory\nKLEIDIA_STORE_PATH=/tmp/{CANARY}".encode())
    made["variables"] = joined(
        b"", f"KLEIDIA_DATABASE_CONNINFO=host=db password={CANARY}\nBAO_ADDR=http://x\nBAO_TOKEN={CANARY}".encode()
    )
    return made


_WORDS = words(
    rb"""
    " true -1 1e400 inf nan 99999999999999999999 "90s" "16MiB" [] [{}] {mount='a'} 1979-05-27T07:32:00Z \u0000 '''
    ~nobody/ [[ 0x10 0_0
    """,
    *(f"{key.name} = ".encode() for key in list(KEYS.values())[:: max(1, len(KEYS) // 60)]),
    b"[database]\n",
    b"[vault]\n",
    b"[vault.auth]\n",
    b"[store]\n",
    b"[backup]\n",
    b"[keys]\n",
    b"[service]\n",
    b"[password]\n",
    b"[drill]\n",
    CANARY.encode(),
    b"\xff",
    b"]]\n",
    b"a.b.c = ",
    b"[" * 50,
    b"\nKLEIDIA_",
)
HARNESSES = {"config": Harness(one, seeds, _WORDS)}
