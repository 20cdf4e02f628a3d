"""The image of ``deploy/Dockerfile`` in two containers, as Kubernetes would run it, with the servers that it needs.

Marked ``containers``: ``deploy/try.sh`` makes the images and runs them.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network
from testcontainers.core.wait_strategies import HttpWaitStrategy, PortWaitStrategy

from kleidia_backup.demo.servers.kv import KvMount
from kleidia_backup.demo.servers.s3 import Bucket, S3Server

from ..containers import initialised, openbao, postgres

DEPLOY = Path(__file__).parents[2] / "deploy"
JWT_SECRET = "canary-jwt-secret-of-at-least-32-bytes"
BUCKET = "archives"
#: Seconds for whatever a container is waited for.
PATIENCE = 120


def deployment() -> tuple[dict[str, Any], dict[str, Any]]:
    """The pod of the base, and its container."""
    objects = yaml.safe_load_all((DEPLOY / "kubernetes" / "base" / "deployment.yaml").read_text(encoding="utf-8"))
    spec = next(each for each in objects if each["kind"] == "Deployment")["spec"]["template"]["spec"]
    return spec, spec["containers"][0]


def address(container: DockerContainer, network: Network) -> str:
    """A container's address for other containers."""
    container.get_wrapped_container().reload()
    attached: str = container.get_wrapped_container().attrs["NetworkSettings"]["Networks"][network.name]["IPAddress"]
    return attached


@dataclass
class Site:
    """The servers, and the replicas that work on them."""

    conninfo: str = field(repr=False)
    bucket: Bucket
    replicas: list[DockerContainer] = field(default_factory=list)

    def url(self, replica: DockerContainer) -> str:
        return f"http://{replica.get_container_host_ip()}:{replica.get_exposed_port(8080)}"

    def named(self, replica: str) -> DockerContainer:
        """The container of a replica, by the name that its jobs have: that of the host, and its process's number."""
        host = replica.partition(":")[0]
        (found,) = [each for each in self.replicas if (each.get_container_id() or "").startswith(host)]
        return found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """PostgreSQL, OpenBao, an S3 server and two replicas of the service in containers on one network."""
    password, key = secrets.token_hex(16), (secrets.token_hex(10).upper(), secrets.token_hex(20))
    with ExitStack() as stack:
        network = stack.enter_context(Network())
        database = stack.enter_context(postgres(password).with_network(network))
        vault = stack.enter_context(openbao().with_network(network))
        store = stack.enter_context(
            DockerContainer(os.environ["KLEIDIA_TEST_SERVERS_IMAGE"])
            .with_env("RCLONE_AUTH_KEY", f'"{key[0]},{key[1]}"')
            .with_command(["s3", BUCKET])
            .with_exposed_ports(9000)
            .with_network(network)
            .waiting_for(PortWaitStrategy(9000))
        )
        server = initialised(vault)
        kv = KvMount(server, "secret", 2)
        kv.server.request("POST", "sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
        kv.put("kleidia/jwt-secret", {"secret": JWT_SECRET})
        kv.put("kleidia/one", {"value": "s1"})
        host, port = database.get_container_host_ip(), database.get_exposed_port(5432)
        conninfo = f"postgresql://postgres:{password}@{host}:{port}/postgres"
        with psycopg.connect(conninfo, autocommit=True) as connection:
            connection.execute("CREATE TABLE users (id int PRIMARY KEY, name text)")
            connection.execute("INSERT INTO users SELECT n, 'user ' || n FROM generate_series(1, 1000) n")
        directory = _directory(tmp_path_factory.mktemp("replicas"))
        _configure(
            directory,
            {
                "database": {"host": address(database, network), "name": "postgres", "user": "postgres"},
                "vault": {"address": f"http://{address(vault, network)}:8200"},
                "store": {
                    "endpoint": f"http://{address(store, network)}:9000",
                    "access_key_id": key[0],
                },
            },
            {
                "database-password": password,
                "vault-token": server.root_token,
                "s3-secret": key[1],
                "backup-password": secrets.token_hex(16),
            },
        )
        endpoint = f"http://{store.get_container_host_ip()}:{store.get_exposed_port(9000)}"
        found = Site(conninfo, Bucket(S3Server(endpoint, *key), BUCKET))
        found.replicas = [stack.enter_context(_replica(directory, network)) for _ in range(2)]
        yield found


def _directory(directory: Path) -> Path:
    """Configuration, secrets and state, with the owners and modes that volumes of a pod have."""
    group = deployment()[0]["securityContext"]["fsGroup"]
    for name, mode in (("config", 0o755), ("secrets", 0o750), ("state", 0o2770)):
        made = directory / name
        made.mkdir()
        os.chown(made, 0, group)
        made.chmod(mode)
    return directory


def _configure(directory: Path, servers: dict[str, dict[str, str]], passwords: dict[str, str]) -> None:
    def section(name: str, more: str = "") -> str:
        lines = [f"{key} = {json.dumps(value)}" for key, value in servers.get(name, {}).items()]
        return "\n".join([f"[{name}]", *lines, more, ""])

    read = "/run/secrets/kleidia-backup"
    text = (
        section("database", f'password_file = "{read}/database-password"')
        + section("vault", 'roots = [{ mount = "secret", path = "kleidia" }]')
        + section("vault.auth", f'token_file = "{read}/vault-token"')
        + section(
            "store",
            f'type = "s3"\nbucket = "{BUCKET}"\npath_style = true\nsecret_access_key_file = "{read}/s3-secret"',
        )
        + section("password", f'file = "{read}/backup-password"')
        + section("backup", 'state_dir = "/var/lib/kleidia-backup/state"')
        + section("service", 'host = "0.0.0.0"\nport = 8080\ntarget = "app"')
    )
    (directory / "config" / "config.toml").write_text(text, encoding="utf-8")
    group = deployment()[0]["securityContext"]["fsGroup"]
    for name, value in passwords.items():
        file = directory / "secrets" / name
        file.write_text(value, encoding="utf-8")
        os.chown(file, 0, group)
        file.chmod(0o440)


def _replica(directory: Path, network: Network) -> DockerContainer:
    """A container as the pod of the base is: its user, rights, limits and volumes; nothing else can be written."""
    pod, container = deployment()
    who, may = pod["securityContext"], container["securityContext"]
    places = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    made = (
        DockerContainer(os.environ["KLEIDIA_TEST_IMAGE"])
        .with_command(container["args"])
        .with_exposed_ports(container["ports"][0]["containerPort"])
        .with_network(network)
        .with_tmpfs_mount(places["tmp"], "size=64m")
        .with_kwargs(
            user=f"{who['runAsUser']}:{who['runAsGroup']}",
            group_add=[str(who["fsGroup"])],
            read_only=may["readOnlyRootFilesystem"],
            cap_drop=may["capabilities"]["drop"],
            security_opt=["no-new-privileges"] if not may["allowPrivilegeEscalation"] else [],
            mem_limit=container["resources"]["limits"]["memory"].removesuffix("i").lower(),
        )
        .waiting_for(HttpWaitStrategy(8080, container["readinessProbe"]["httpGet"]["path"]).for_status_code(200))
    )
    for name, mode in (("config", "ro"), ("secrets", "ro"), ("state", "rw")):
        made.with_volume_mapping(str(directory / name), places[name], mode)
    return made
