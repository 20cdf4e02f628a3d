"""The service's settings as the configuration has them: what cannot be changed while it runs."""

# Without postponed annotations: they are read when the keys are derived.
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from ..formats.codecs.zstd import HIGHEST, LEVEL, LOWEST
from ..pipeline.copies.settings import Copy
from ..pipeline.job import JOB_TIMEOUT
from ..pipeline.parts.keys import NO_KEYS, Keys
from ..pipeline.parts.request import Format
from ..stages.archive.upload import PART
from ..stages.pg.server.settings import PostgresSettings
from ..stages.setting import Setting
from ..stages.stores.directory.store import DirectorySettings
from ..stages.stores.s3.settings import SMALLEST_PART, S3Settings
from ..stages.vault.kv.roots import owns
from ..stages.vault.kv.settings import VaultSettings
from .drills.settings import DrillSettings
from .login.grants import Grant
from .login.settings import LoginSettings
from .notifying.settings import NotifySettings
from .password import PasswordPlace
from .retention.settings import RetentionSettings

#: Characters that the token for /metrics has at least.
SHORTEST_TOKEN = 16
#: Instead of a schedule: none.
OFF = "off"
_backup = partial(Setting, section="backup")
AUDIT_LOGS = _backup("Whether the rows of audit_tables are backed up.")
FORMAT = _backup(
    "Format of new archives: v1 or v2. Whatever reads one tells them apart by itself.",
    pattern="v1|v2",
    must="v1 or v2",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """How often, and after how long; seconds. Tests make them short.

    ``beat``: progress is written and the row asked whether to go on. ``poll``: the queue is looked at, besides LISTEN.
    ``reap``: dead and stale jobs are looked for. ``dead``: silence after which a job's replica counts as dead.
    ``tick``: the schedule is looked at. ``margin``: how much longer than its time limit a job may take to clean up.
    """

    beat: float = 1.0
    poll: float = 5.0
    reap: float = 5.0
    dead: float = 30.0
    tick: float = 5.0
    margin: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSettings:
    """What a backup takes, and the limits of a job. Times are seconds, sizes bytes."""

    include_audit_logs: Annotated[bool, AUDIT_LOGS] = True
    format: Annotated[Format, FORMAT] = "v1"
    level: Annotated[
        int,
        _backup(
            "How hard zstd compresses archives of format v2: higher is slower and smaller.", least=LOWEST, most=HIGHEST
        ),
    ] = LEVEL
    part_size: Annotated[
        int,
        _backup(
            f"Size of an upload's parts: there are 10,000 at most, and S3 takes none below {SMALLEST_PART >> 20} MiB.",
            kind="size",
        ),
    ] = PART
    state: Annotated[
        Path | None,
        _backup(
            "Directory for the journal by which a failed restore is undone; each system has its own. Without it:\n"
            "/var/lib/kleidia-backup for root, else kleidia-backup in $XDG_STATE_HOME or ~/.local/state.",
            "/var/lib/kleidia-backup",
            name="state_dir",
            standard=("KLEIDIA_STATE_DIR",),
        ),
    ] = None
    system: Annotated[
        str,
        _backup(
            "Id of this system, in clear text in archives of format v2. A restore refuses an archive that says another "
            "one.",
            "production",
        ),
    ] = ""
    incremental: Annotated[
        bool,
        _backup(
            "Whether secrets that did not change are taken from the newest archive instead of being read from the "
            "vault.\nNeeds format v2, and OpenBao; see docs/incremental.md."
        ),
    ] = False
    job_timeout: Annotated[float, _backup("Longest time for one backup, restore or verification.")] = JOB_TIMEOUT


EnvironmentColor: TypeAlias = Literal["grey", "blue", "green", "orange", "red"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleSettings:
    """When the service's jobs run, as long as nobody has changed the settings through the API."""

    backup: Annotated[
        str | None, Setting("Backups: five fields of cron; without it 0 2 * * *. off: none.", "30 1 * * *")
    ] = None
    verify: Annotated[
        str | None, Setting("Verifications: an archive is read to its last byte. Without it: none.", "0 4 * * *")
    ] = None
    drill: Annotated[str | None, Setting("Drills of the newest archive. Without it: none.", "0 5 * * 0")] = None
    timezone: Annotated[str | None, Setting("Their time zone. Without it: UTC.", "Europe/Vienna")] = None

    def fields(self) -> dict[str, str | bool]:
        """What is said, by the names of the service's settings (``service/control/backup_settings.py``)."""
        said: dict[str, str | bool] = {}
        for kind, name in (("backup", "schedule"), ("verify", "verify_schedule"), ("drill", "drill_schedule")):
            cron = getattr(self, kind)
            if cron is not None:
                said |= {f"{name}_enabled": cron != OFF} | ({} if cron == OFF else {name: cron})
        return said if self.timezone is None else said | {"timezone": self.timezone}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings(JobSettings):
    """Everything that ``Service`` is made from. Times are seconds; ``repr`` shows no secret.

    ``store`` and ``password`` are only what the settings in the database begin with.
    """

    vault: VaultSettings
    database: PostgresSettings | None = None
    store: S3Settings | DirectorySettings | None = None
    password: str | PasswordPlace | None = field(default=None, repr=False)
    host: Annotated[str, Setting("Address to listen at; 0.0.0.0 is all of the machine's.")] = "127.0.0.1"
    port: Annotated[int, Setting("Port to listen at.", least=0, most=65535)] = 8080
    max_connections: Annotated[
        int,
        # More than are taken in one go, and some that keep us waiting.
        Setting(
            "Connections at the same time, at most. Then those that wait longest for their client's request are "
            "closed.\nA client that polls has one, a person with two pages open has two.",
            least=150,
        ),
    ] = 450
    environment: Annotated[
        str, Setting("What the page says this system is, so that nobody mistakes it for another.", "production")
    ] = ""
    environment_color: Annotated[EnvironmentColor, Setting("Its colour there: grey, blue, green, orange or red.")] = (
        "grey"
    )
    forwarded_allow_ips: Annotated[
        tuple[str, ...],
        Setting(
            "Addresses or networks of the proxies whose X-Forwarded-For and X-Forwarded-Proto are believed. Without "
            "it:\nnobody's, and the audit log has the proxy's address.",
            ("10.0.0.5",),
        ),
    ] = ()
    metrics_token: Annotated[
        str,
        Setting(
            f"A token for /metrics, of {SHORTEST_TOKEN} characters at least; without it: the token of anybody with a "
            "role.",
            secret=True,
        ),
    ] = field(default="", repr=False)
    metrics_public: Annotated[bool, Setting("/metrics takes no token at all.")] = False
    allowed_endpoints: Annotated[
        tuple[str, ...] | None,
        Setting(
            "Servers, or buckets at one, that the settings may use besides [store]. Without it: any; with []: none.\n"
            "After the API changed the store, only a bucket that stands here or in [store] is restored from by any "
            "password.",
            ("https://s3.example.com/kleidia-backups",),
        ),
    ] = None
    passwords_in_requests: Annotated[
        bool,
        Setting(
            "Whether requests may hold encryption passwords: of a restore, to be tried, or a new one of the settings."
        ),
    ] = True
    control: Annotated[
        PostgresSettings,
        Setting(
            "libpq connection string of the database for the service's own tables; without it: that of [database].",
            "postgresql://backup@db.example.org/control?sslmode=verify-full",
            name="control_conninfo",
            kind="text",
            secret=True,
        ),
    ]
    target: Annotated[
        str,
        Setting(
            "Name of what is backed up: services with one control database and one target run one job at a time.\n"
            "Without it: the database's name, or vault where there is no [database].",
            "kleidia",
        ),
    ]
    secrets_mount: Annotated[
        str,
        Setting(
            "KV mount for the secrets among the settings (the encryption password, the store's key); without it: that "
            "of\nthe first of vault.roots.",
            "secret",
        ),
    ]
    secrets_path: Annotated[
        str,
        Setting(
            "Folder in it, one for each target; without it: backup-service/ and the target, in the first of "
            "vault.roots.\nIt is never in an archive, and no restore writes or removes what is in it.",
            "kleidia/backup-service/kleidia",
        ),
    ]
    jwt_mount: Annotated[
        str,
        Setting(
            "KV mount of the secret that signs users' tokens (HS256); without it: that of the first of vault.roots.",
            "secret",
        ),
    ] = ""
    jwt_path: Annotated[str, Setting("Its path; without it: jwt-secret in the first root.", "kleidia/jwt-secret")] = ""
    jwt_field: Annotated[str, Setting("Its field.")] = "secret"
    jwks_url: Annotated[
        str | None, Setting("URL of the issuer's keys, instead of it.", "https://login.example.org/keys")
    ] = None
    jwt_audience: Annotated[str | None, Setting("The audience that a token must name, if any.", "kleidia-backup")] = (
        None
    )
    jwt_issuer: Annotated[
        str | None, Setting("The issuer that a token must name, if any.", "https://login.example.org")
    ] = None
    role_claim: Annotated[str, Setting("The claim of a token that holds its owner's role or roles.")] = "role"
    admin_roles: Annotated[tuple[str, ...], Setting("Roles that may do everything.")] = ("admin",)
    operator_roles: Annotated[tuple[str, ...], Setting("Roles that may look, back up, verify and drill.")] = (
        "operator",
    )
    viewer_roles: Annotated[tuple[str, ...], Setting("Roles that may look.")] = ("viewer",)
    grants: Annotated[
        tuple[Grant, ...],
        Setting(
            "Who has which role (viewer, operator, admin) on which targets, besides the roles above, which count for\n"
            "all: `of` is a value of the role claim, of tokens and of people. In the environment as JSON",
            kind="grants",
        ),
    ] = ()
    grace: Annotated[float, Setting("How long a running job may go on when the service is stopped.")] = 30.0
    labels: tuple[str, ...] = ()
    schedule: ScheduleSettings = ScheduleSettings()
    keys: Keys = NO_KEYS
    retention: RetentionSettings | None = None
    notify: NotifySettings | None = None
    copies: tuple[Copy, ...] = ()
    login: LoginSettings | None = None
    drill: DrillSettings = field(default_factory=DrillSettings)
    intervals: Intervals = field(default_factory=Intervals)

    def __post_init__(self) -> None:
        """Leave the service's secrets out of what it backs up."""
        mount, folder = self.secrets_mount.strip("/"), f"{self.secrets_path.strip('/')}/"
        if not owns(self.vault.own, mount, folder):
            own = (*self.vault.own, f"{mount}/{folder}")
            object.__setattr__(self, "vault", replace(self.vault, own=own))
