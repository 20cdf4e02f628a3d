"""The demo: real servers, filled, backed up, wrecked, restored, and compared to the last row and secret."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from time import perf_counter
from typing import TYPE_CHECKING, Any

from anyio import to_thread

from ..pipeline.backup import backup
from ..pipeline.drill import drill
from ..pipeline.restore import restore
from ..stages.errors import ConfigurationError
from ..stages.pg.server.settings import PostgresSettings
from ..stages.stores.s3.settings import S3Settings
from ..stages.vault.kv.settings import Root, TokenAuth, VaultSettings
from .compare import Digest, digest_database, digest_vault, wreck_database, wreck_vault
from .fill import fill_database, fill_vault
from .scratch import embedded
from .servers.processes import recorded
from .servers.together import Servers, start_servers, stop_servers

if TYPE_CHECKING:
    from ..pipeline.drills.report import DrillReport
    from ..pipeline.parts.request import Format
    from ..pipeline.reports.jobs import BackupReport, OnProgress, RestoreReport
    from .servers.kv import KvMount

#: The specification's table (Performance): keys, and seconds of a backup and of a restore, from and to.
PROMISED = {1_000: ((15, 20), (20, 30)), 10_000: ((60, 120), (120, 180)), 50_000: ((300, 420), (420, 600))}
_BUCKET = "kleidia-backups"


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """What the demo found: ``differences`` names what did not come back; sizes are bytes, times seconds."""

    keys: int
    tables: int
    rows: int
    secrets: int
    differences: list[str]
    seconds: dict[str, float]
    sql_bytes: int
    archive_bytes: int
    backed_up: BackupReport
    restored: RestoreReport
    drilled: DrillReport

    @property
    def identical(self) -> bool:
        """Whether every row and every secret came back."""
        return not self.differences and self.rows > 0 and self.secrets > 0

    def as_json(self) -> dict[str, Any]:
        """The result as plain values."""
        return {
            "identical": self.identical,
            "keys": self.keys,
            "tables": self.tables,
            "rows": self.rows,
            "secrets": self.secrets,
            "differences": self.differences[:100],
            "seconds": self.seconds,
            "drill": self.drilled.verdict,
            "bytes": {"sql": self.sql_bytes, "archive": self.archive_bytes},
        }


@dataclass
class Demo:
    """A running demo system. Enter ``started``; then ``run`` it once."""

    servers: Servers
    database: PostgresSettings
    vault: VaultSettings
    store: S3Settings
    application: KvMount
    yubikeys: KvMount
    password: str = field(default_factory=lambda: secrets.token_urlsafe(18), repr=False)

    @classmethod
    def start(cls, directory: Path, *, detached: bool = False) -> Demo:
        """Start the servers in a directory, with an empty database, two KV engines and a bucket."""
        servers = start_servers(directory, detached=detached)
        try:
            postgres, openbao, s3 = servers.postgres, servers.openbao, servers.s3
            bucket = s3.create_bucket(_BUCKET)
            return cls(
                servers,
                PostgresSettings(postgres.conninfo(), pg_dump=str(postgres.bin_dir / "pg_dump")),
                VaultSettings(
                    address=openbao.address,
                    auth=TokenAuth(openbao.root_token),
                    roots=(Root("", "secret", "kleidia"), Root("yubikeys/", "yubikeys")),
                ),
                S3Settings(
                    endpoint=s3.endpoint,
                    region=s3.region,
                    bucket=bucket.name,
                    prefix="backups/",
                    access_key_id=s3.access_key,
                    secret_access_key=s3.secret_key,
                    path_style=True,
                ),
                openbao.mount("secret"),
                openbao.mount("yubikeys"),
            )
        except BaseException:
            servers.stop()
            raise

    def fill(self, keys: int) -> None:
        """Fill the database and the vault."""
        fill_database(self.database.full_conninfo(), keys=keys)
        fill_vault(self.application, self.yubikeys, keys=keys)

    def digest(self) -> Digest:
        """Everything that is there."""
        return Digest(digest_database(self.database.full_conninfo()), digest_vault(self.application, self.yubikeys))

    def wreck(self) -> None:
        """Lose and scramble a good part of both."""
        wreck_database(self.database.full_conninfo())
        wreck_vault(self.application, self.yubikeys)

    async def run(
        self,
        keys: int,
        tell: Callable[[str], None],
        on_progress: OnProgress = None,
        *,
        format: Format = "v1",  # noqa: A002 - what everybody calls it
    ) -> DemoResult:
        """Fill, back up, wreck, restore, compare and drill; ``tell`` is told of each step."""
        seconds = {"start": max(self.servers.seconds.values())}

        async def step(name: str, text: str, work: Callable[[], Any]) -> Any:
            tell(text)
            begun = perf_counter()
            done = await to_thread.run_sync(work)
            seconds[name] = perf_counter() - begun
            return done

        await step("fill", f"Filling the database and the vault for {keys:,} keys", lambda: self.fill(keys))
        before: Digest = await step("digest", "Reading every row and every secret", self.digest)
        targets: dict[str, Any] = {"database": self.database, "vault": self.vault, "store": self.store}
        tell("Backing up")
        made = await backup(**targets, password=self.password, format=format, on_progress=on_progress)
        await step("wreck", "Wrecking both: a table dropped, rows changed, secrets deleted and overwritten", self.wreck)
        wrecked = await to_thread.run_sync(self.digest)
        if not before.differences(wrecked):
            raise AssertionError("the demo wrecked nothing, so it would show nothing")
        tell(f"Restoring {made.name}")
        state = self.servers.directory / "state"
        back = await restore(made.name, **targets, password=self.password, state=state, on_progress=on_progress)
        after: Digest = await step("compare", "Comparing every row and every secret", self.digest)
        tell("Drilling: the same archive, into servers that are started for it")
        begun = perf_counter()
        drilled = await drill(
            made.name,
            **targets,
            scratch=embedded,
            password=self.password,
            reports=state / "drills",
            on_progress=on_progress,
        )
        seconds["drill"] = perf_counter() - begun
        return DemoResult(
            keys=keys,
            tables=len(after.tables),
            rows=after.rows,
            secrets=len(after.secrets),
            differences=before.differences(after),
            seconds=seconds | {"backup": made.seconds["total"], "restore": back.seconds["total"]},
            sql_bytes=made.sql_bytes,
            archive_bytes=made.size,
            backed_up=made,
            restored=back,
            drilled=drilled,
        )

    def write_configuration(self, directory: Path, format: Format = "v1") -> None:  # noqa: A002 - likewise
        """Put ``kleidia-backup.toml`` and ``password.txt`` there, with which every command can be tried."""
        store, vault = self.store, self.vault
        assert isinstance(vault.auth, TokenAuth)
        password_file = directory / "password.txt"
        _write(password_file, self.password + "\n")
        text = f"""# The demo's servers, until `kleidia-backup demo --stop {quote(str(directory))}`.

[database]
conninfo = {_quoted(self.database.full_conninfo())}
pg_dump = {_quoted(self.database.pg_dump)}

[vault]
address = {_quoted(vault.address)}

[[vault.roots]]
prefix = ""
mount = "secret"
path = "kleidia"

[[vault.roots]]
prefix = "yubikeys/"
mount = "yubikeys"

[vault.auth]
method = "token"
token = {_quoted(vault.auth.token)}

[backup]
format = {_quoted(format)}
state_dir = {_quoted(str(self.servers.directory / "state"))}

[store]
type = "s3"
endpoint = {_quoted(store.endpoint or "")}
region = {_quoted(store.region or "")}
bucket = {_quoted(store.bucket)}
prefix = {_quoted(store.prefix)}
access_key_id = {_quoted(store.access_key_id or "")}
secret_access_key = {_quoted(store.secret_access_key or "")}
path_style = true

[password]
file = {_quoted(str(password_file))}
"""
        _write(directory / "kleidia-backup.toml", text)


def start(stack: ExitStack, keep: Path | None, format: Format = "v1") -> Demo:  # noqa: A002 - likewise
    """Start a demo in a temporary directory, or in ``keep``, where its servers run on after this process.

    Raises ``ConfigurationError`` when ``keep`` is in use or a wheel is missing.
    """
    if keep is None:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kleidia-demo-")))
        demo = Demo.start(directory / "servers")
        stack.callback(demo.servers.stop)
        return demo
    keep = keep.resolve()
    with _writing(keep):
        if keep.exists() and any(keep.iterdir()):
            stop = f"kleidia-backup demo --stop {quote(str(keep))}"
            raise ConfigurationError(
                f"{keep} is not empty.", hint=f"Name another directory; `{stop}` ends servers that run there."
            )
        (keep / "servers").mkdir(parents=True, exist_ok=True)
    demo = Demo.start(keep / "servers", detached=True)
    try:
        with _writing(keep):
            demo.write_configuration(keep, format)
    except BaseException:
        demo.servers.stop()
        raise
    return demo


@contextmanager
def _writing(keep: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise ConfigurationError(
            f"{keep}, the directory of --keep, cannot be written: {exc.strerror}.", hint="Name another directory."
        ) from exc


def stop(directory: Path) -> list[str]:
    """End the servers that ``--keep`` let run in a directory; their names.

    Raises ``ConfigurationError`` when they belong to somebody else.
    """
    servers = directory.resolve() / "servers"
    try:
        ours = os.geteuid() in {0, servers.stat().st_uid}
    except PermissionError:
        ours = False
    except OSError:  # there is nothing
        return []
    if not ours:
        raise ConfigurationError(
            f"The demo in {directory} was started by another user.", hint="Stop it as that user, or as root."
        )
    return stop_servers(servers)


def running(directory: Path) -> bool:
    """Whether any of the servers that ``--keep`` let run in a directory still does."""
    return any(record.alive() for _, record in recorded(directory.resolve() / "servers"))


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")


def _quoted(text: str) -> str:
    """A TOML basic string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
