"""Addresses with a password in them, in every place that takes one: no command shows a piece of it."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from kleidia_backup.config.logs import logger
from kleidia_backup.service.logs import configure_logs
from kleidia_backup.stages.urls import is_server_url, origin
from kleidia_backup.stages.vault.kv import transport
from kleidia_backup.stages.vault.kv.backoff import SharedBackoff

from .conftest import Outcome

Call = Callable[..., Outcome]

#: Nobody listens there.
HERE = "127.0.0.1:1"
PASSWORDS = (
    "canary1@canary2",
    "canary1/canary2",
    "1/canary2",
    "canary1?canary2",
    "canary1#canary2",
    "canary%zz",
    "a:canary",
)
CONFIGURED = """
[database]
host = "127.0.0.1"
port = 1
name = "shop"
user = "app"
[vault]
address = "http://127.0.0.1:1"
retry_budget = 1
roots = [{ mount = "secret" }]
[vault.auth]
token = "t"
[store]
type = "s3"
bucket = "b"
endpoint = "http://127.0.0.1:1"
region = "r"
access_key_id = "i"
secret_access_key = "s"
attempts = 1
connect_timeout = 1
"""
COMMANDS = (
    ("config",),
    ("--verbose", "test-connection"),
    ("--json", "--verbose", "backup"),
    ("--verbose", "serve", "--port", "0"),
)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A vault where nobody listens is given up at once, instead of after five seconds."""

    def backoff(workers: int, *, budget: float, **times: Any) -> SharedBackoff:
        return SharedBackoff(workers, budget=min(budget, 0.2), **times)

    monkeypatch.setattr(transport, "SharedBackoff", backoff)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("variable", "form"),
    [
        ("KLEIDIA_DATABASE_CONNINFO", "postgresql://app:{}@" + HERE + "/shop"),
        ("KLEIDIA_DATABASE_CONNINFO", "host=127.0.0.1 port=1 password={} dbname=shop"),
        ("KLEIDIA_DATABASE_HOST", "app:{}@127.0.0.1"),
        ("KLEIDIA_DATABASE_NAME", "postgresql://app:{}@" + HERE + "/shop"),
        ("KLEIDIA_DATABASE_USER", "app:{}"),
        ("KLEIDIA_SERVICE_CONTROL_CONNINFO", "postgresql://app:{}@" + HERE + "/control"),
        ("PGPASSWORD", "{}"),
        ("PGOPTIONS", "-c my.key={}"),
        ("KLEIDIA_VAULT_ADDRESS", "http://app:{}@" + HERE),
        ("KLEIDIA_VAULT_ADDRESS", "http://{}@" + HERE),
        ("KLEIDIA_STORE_ENDPOINT", "http://app:{}@" + HERE),
        ("KLEIDIA_STORE_ENDPOINT", "http://{}@" + HERE),
        ("KLEIDIA_SERVICE_JWKS_URL", "http://app:{}@" + HERE),
        ("KLEIDIA_DATABASE_PORT", "app:{}@1"),
        ("KLEIDIA_VAULT_AUTH_METHOD", "{}"),
    ],
)
def test_no_command_shows_a_piece_of_an_address(
    variable: str, form: str, configured: Callable[[str], Path], call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused or tried in vain: the message names the key or the server, and no more."""
    configured(CONFIGURED)
    monkeypatch.setenv("KLEIDIA_BACKUP_PASSWORD", "correct horse battery")
    monkeypatch.setenv("PGCONNECT_TIMEOUT", "2")
    for password in PASSWORDS:
        monkeypatch.setenv(variable, form.format(password))
        for command in COMMANDS if password is PASSWORDS[0] else COMMANDS[:1]:
            told = call(*command)
            assert "canary" not in told.everything, (command, password)
            assert told.status != 1, (command, told.everything)  # no bug of ours


@pytest.mark.usefixtures("impatient")
def test_the_standard_variables_are_no_less_secret(
    configured: Callable[[str], Path], call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of libpq and of other tools."""
    text = CONFIGURED.replace('address = "http://127.0.0.1:1"\n', "").replace('endpoint = "http://127.0.0.1:1"\n', "")
    configured(text.replace('host = "127.0.0.1"\nport = 1\nname = "shop"\n', ""))
    for name in ("PGHOST", "PGDATABASE"):
        monkeypatch.setenv(name, f"postgresql://app:canary@{HERE}/shop")
    for name in ("VAULT_ADDR", "AWS_ENDPOINT_URL"):
        monkeypatch.setenv(name, f"http://app:1/canary@{HERE}")
    monkeypatch.setenv("KLEIDIA_BACKUP_PASSWORD", "correct horse battery")
    for command in COMMANDS:
        told = call(*command)
        assert "canary" not in told.everything, command
        assert told.status in {2, 5, 6, 7}, told.everything


@pytest.mark.parametrize(
    "text", ['"postgresql://app:canary@db/shop" = 1\n', '[store]\n"canary@x" = 2\n', '["a canary"]\nx = 1\n']
)
def test_what_is_no_key_is_not_repeated(text: str, configured: Callable[[str], Path], call: Call) -> None:
    """A line that slipped into the wrong place."""
    configured(text)
    told = call("config")
    assert told.status == 2
    assert "(not shown)" in told.err
    assert "canary" not in told.everything


@pytest.mark.parametrize(
    "arguments",
    [
        ["postgresql://app:canary@db/shop"],
        ["restore", "x", "--only", "a:canary@db"],
        ["backup", "postgresql://c:canary@d"],
    ],
)
def test_an_argument_is_not_repeated(arguments: list[str], call: Call) -> None:
    """A connection string where a command belongs."""
    for more in ([], ["--json"]):
        told = call(*more, *arguments)
        assert told.status == 2
        assert "canary" not in told.everything


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """A test that configures logs leaves none of it."""
    root, before = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers, root.level
    levels = {name: logging.getLogger(name).level for name in ("uvicorn", "procrastinate")}
    yield
    root.handlers = handlers
    root.setLevel(level)
    for name, each in levels.items():
        logging.getLogger(name).setLevel(each)
    structlog.configure(**before)


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_what_the_connection_pool_logs_is_shown_without_names_that_are_none(logs_as_before: None) -> None:
    """It repeats what a server said, whatever that quotes."""
    stream = io.StringIO()
    configure_logs(stream)
    said = 'error connecting in \'pool-1\': connection failed: FATAL:  role "app:canary@x" does not exist, not "app"'
    logging.getLogger("psycopg.pool").warning("%s", said)
    assert "canary" not in stream.getvalue()
    assert '(not shown)\\" does not exist, not \\"app' in stream.getvalue()


def test_a_traceback_on_a_terminal_shows_no_variables(logs_as_before: None) -> None:
    """A log on a terminal is as free of values as one in a file."""
    stream = _Terminal()
    configure_logs(stream)
    logs: tuple[Any, ...] = (structlog.get_logger("kleidia_backup.job"), logger(stream))
    for log in logs:
        password = str(Path("canary-of-a-variable"))
        try:
            raise ValueError(len(password))
        except ValueError:
            log.exception("failed")
    assert "ValueError" in stream.getvalue()
    assert "canary-of" not in stream.getvalue()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://s3.example.com", "https://s3.example.com"),
        ("HTTP://minio:9000/", "HTTP://minio:9000"),
        ("https://[2001:db8::1]:8200/v1", "https://[2001:db8::1]:8200"),
        ("https://host_1.example/a/b-c_d.e~f", "https://host_1.example"),
        *(
            (url, "")
            for url in ("", "https://", "ftp://h", "https://u:12/p@h", "https://h:70000", "https://h:0", "https://h x")
        ),
        *(
            (url, "")
            for url in ("https://h/\n", "https://h\t", "https://h?x", "https://h#x", "https://h\\x", "https://[::1")
        ),
        *(
            (url, "")
            for url in ("https://h%40x", "https://ü.example", "https://h/%40", "//h", "https://@h", "https://-h")
        ),
        *((url, "") for url in (f"https://{'a' * 64}", "https://a..b", "https://[1.2]", "https://[1:2]")),
        (f"https://{'a' * 63}.b.", f"https://{'a' * 63}.b."),
    ],
)
def test_a_server_is_a_server(url: str, shown: str) -> None:
    """An address that is shown is an address and nothing else."""
    assert origin(url) == shown
    assert is_server_url(url) == bool(shown)


def test_json_says_the_same(configured: Callable[[str], Path], call: Call) -> None:
    """The error as an object, with the hint how to write it."""
    configured('[database]\nconninfo = "postgresql://app:aa@tail@host/db"\n')
    found = json.loads(call("--json", "config").out)["error"]
    assert found["message"] == (
        "The PostgreSQL connection string has more than one @, so that it could be read in two ways."
    )
    assert "%40" in found["hint"]
