"""The sections of the configuration, and the keys that are no field of what the library takes."""

# Without postponed annotations: they are read when the keys are derived.
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from ..stages.pg.server.settings import PostgresSettings
from ..stages.setting import Setting
from ..stages.stores.directory.store import DirectorySettings
from ..stages.stores.s3.settings import S3Settings
from ..stages.vault.kv.settings import METHODS, Method, VaultSettings
from .drills.settings import DrillSettings
from .login.settings import LoginSettings
from .notifying.settings import NotifySettings
from .password import PasswordPlace
from .retention.settings import RetentionSettings
from .service import JobSettings, ScheduleSettings, ServiceSettings
from .targets.settings import ReplicaSettings


@dataclass(frozen=True, slots=True)
class Libpq:
    """What completes and overrides a connection string; what none of them says comes from libpq's own variables."""

    conninfo: Annotated[
        str,
        Setting(
            "A libpq connection string or URI; the keys below complete and override it.",
            "postgresql://backup@db.example.org/kleidia?sslmode=verify-full",
            secret=True,
        ),
    ] = field(default="", repr=False)
    host: Annotated[str, Setting("Server, or the directory of its socket.", "db.example.org", shown=True)] = ""
    port: Annotated[int | None, Setting("Port.", 5432)] = None
    dbname: Annotated[str, Setting("Name of the database.", "kleidia", name="name", shown=True)] = ""
    user: Annotated[str, Setting("Role.", "backup", shown=True)] = ""
    password: Annotated[
        str, Setting("Its password. A passfile (~/.pgpass) or PGPASSWORD works too.", secret=True, shown=True)
    ] = field(default="", repr=False)
    passfile: Annotated[Path | None, Setting("A passfile other than ~/.pgpass.", "/etc/kleidia-backup/pgpass")] = None
    sslmode: Annotated[
        str,
        Setting(
            "libpq's sslmode: disable, …, require, verify-ca, verify-full. Only the last makes sure who answers.",
            "verify-full",
            shown=True,
        ),
    ] = ""
    sslrootcert: Annotated[
        Path | None, Setting("PEM file of the server's CA.", "/etc/kleidia-backup/db-ca.pem", shown=True)
    ] = None


@dataclass(frozen=True, slots=True)
class LoginKind:
    """Which of the logins is meant."""

    method: Annotated[Method, Setting("How: token, approle, kubernetes or userpass.", "approle", shown=True)] = "token"


@dataclass(frozen=True, slots=True)
class StoreKind:
    """Which of the stores is meant."""

    type: Annotated[
        Literal["s3", "directory"] | None,
        Setting("s3 or directory. Without it: s3, if there is a bucket.", "s3", shown=True),
    ] = None


@dataclass(frozen=True, slots=True)
class PasswordSource:
    """Where the encryption password is, if not in the vault."""

    env: Annotated[str, Setting("Name of an environment variable.", "BACKUP_PASSWORD", group="password")] = ""
    file: Annotated[
        Path | None,
        Setting(
            "A file; one line break at its end does not count.",
            "/etc/kleidia-backup/password",
            shown=True,
            group="password",
        ),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySettings:
    """The keys of archives in format V2; secret ones are in files alone."""

    recipients: Annotated[
        tuple[str, ...],
        Setting(
            "Public keys of those who can open backups, besides the password. Asks for signing_key_file.",
            ("kleidia-public-x25519:BASE64",),
        ),
    ] = ()
    signing_key_file: Annotated[
        Path | None,
        Setting("File of the key that signs backups, of mode 600.", "/etc/kleidia-backup/signing.key"),
    ] = None
    password_slot: Annotated[
        bool,
        Setting("Whether the password opens backups too. Without it a host with no private key never reads them."),
    ] = True
    private_key_files: Annotated[
        tuple[Path, ...],
        Setting("Files of private keys that open archives, of mode 600.", ("/etc/kleidia-backup/restore.key",)),
    ] = ()
    trusted_signers: Annotated[
        tuple[str, ...],
        Setting(
            "Public keys whose signatures a restore trusts. An archive with a slot for a public key needs one.",
            ("kleidia-public-ed25519:BASE64",),
        ),
    ] = ()
    transit: Annotated[
        str,
        Setting(
            "MOUNT/KEY: a key of the Transit engine of the vault in [vault], which opens backups too. Backups need\n"
            "update on MOUNT/encrypt/KEY, restores on MOUNT/decrypt/KEY. Asks for signing_key_file, and for a\n"
            "password or recipients as well.",
            "transit/backup",
        ),
    ] = ""


class Section(NamedTuple):
    """A section: what the printed example says of it, and the classes whose settings it holds."""

    doc: str
    classes: tuple[type, ...]


SECTIONS = {
    "database": Section(
        "The PostgreSQL database. Leave the section out if there is none to back up.\n"
        "What is not said here comes from libpq's own variables (PGHOST, PGUSER, PGPASSWORD, PGPASSFILE, PGSERVICE, …)"
        ".",
        (Libpq, PostgresSettings),
    ),
    "vault": Section(
        "OpenBao or HashiCorp Vault. Leave the section out if there is none to back up.", (VaultSettings,)
    ),
    "vault.auth": Section("How to log in to it.", (LoginKind, *METHODS.values())),
    "store": Section("Where archives are kept: S3, or a directory.", (StoreKind, DirectorySettings, S3Settings)),
    "backup": Section("What goes into a backup, and its limits.", (JobSettings,)),
    "password": Section(
        "Where the encryption password comes from; at most one of env, file and vault.\n"
        "KLEIDIA_BACKUP_PASSWORD in the environment comes before all of them. With none, it is asked for.",
        (PasswordSource,),
    ),
    "password.vault": Section(
        "The encryption password in a KV engine of the vault above. Instead of env and file.\n"
        "That secret is never in an archive, and no restore writes or removes it, whatever the roots are.",
        (PasswordPlace,),
    ),
    "keys": Section(
        "Keys of archives in format V2, made by `kleidia-backup keygen`. Leave it out if the password is enough.",
        (KeySettings,),
    ),
    "retention": Section(
        "Which archives are kept by `kleidia-backup retention`, and what the service's own settings begin with.\n"
        "What is pinned stays, and so do the newest archive and the newest one that a drill brought back.",
        (RetentionSettings,),
    ),
    "drill": Section(
        "Drills, `kleidia-backup drill`: an archive is restored into scratch servers and compared with what it says.",
        (DrillSettings,),
    ),
    "notify": Section(
        "Who is told of what became of jobs, by the service and by the command: a ping, a webhook, mail, and what\n"
        "apprise knows. `kleidia-backup notify --test` tries all of them.",
        (NotifySettings,),
    ),
    "login": Section(
        "Login of people to the service by OpenID Connect (docs/login.md). Leave it out where tokens are enough.",
        (LoginSettings,),
    ),
    "schedule": Section(
        "When the service's jobs run, as cron writes it, until somebody changes the settings through the API.",
        (ScheduleSettings,),
    ),
    "service": Section(
        "The service, `kleidia-backup serve`. [store], [backup] and [password] are what it begins with;\n"
        "from then on its own settings count, which are changed through its API.",
        (ServiceSettings, ReplicaSettings),
    ),
}
