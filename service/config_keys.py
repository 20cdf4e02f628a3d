"""Every key of the configuration, once: the reader, the environment and the commented example all come from here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["text", "integer", "boolean", "seconds", "size", "path", "program", "names", "roots"]


@dataclass(frozen=True, slots=True)
class Key:
    """One key. ``example`` is a TOML literal; ``shown`` ones are set in the printed example, the rest commented out.

    Of the keys with one ``group`` only those of one ``alternative`` (the key's own name, unless said) may be set.
    A key without ``doc`` belongs to the one before it. ``standard`` names environment variables that other tools
    read too; they count only where neither our own variable nor the file says anything, so that a stray ``VAULT_ADDR``
    never sends a restore to another vault than the file names.
    """

    section: str
    name: str
    kind: Kind
    example: str
    doc: str
    shown: bool = False
    secret: bool = False
    group: str = ""
    alternative: str = ""
    standard: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()

    @property
    def way(self) -> str:
        """Which alternative of its group it belongs to."""
        return self.alternative or self.name

    @property
    def sensitive(self) -> bool:
        """Whether it is a secret, or the file that holds one."""
        return self.secret or self.group == f"{self.section}.{self.name.removesuffix('_file')}"

    @property
    def variable(self) -> str:
        """The environment variable that overrides it."""
        return f"KLEIDIA_{self.section.replace('.', '_')}_{self.name}".upper()

    @property
    def where(self) -> str:
        """The key as messages name it."""
        return f"{self.name} in [{self.section}]"


def _secret(
    section: str,
    name: str,
    doc: str,
    example: str = '"…"',
    standard: tuple[str, ...] = (),
    *,
    secret: bool = True,
) -> list[Key]:
    """A secret, and the file that holds it instead. Half of a login that is no ``secret`` may be read by everybody."""
    file = f'"/run/secrets/{section.rpartition(".")[2]}-{name.replace("_", "-")}"'
    group = f"{section}.{name}"
    return [
        Key(section, name, "text", example, doc, secret=secret, group=group, standard=standard),
        Key(section, f"{name}_file", "path", file, "", group=group),
    ]


SECTIONS: dict[str, str] = {
    "database": "The PostgreSQL database. Leave the section out if there is none to back up.\n"
    "What is not said here comes from libpq's own variables (PGHOST, PGUSER, PGPASSWORD, PGPASSFILE, PGSERVICE, …).",
    "vault": "OpenBao or HashiCorp Vault. Leave the section out if there is none to back up.",
    "vault.auth": "How to log in to it.",
    "store": "Where archives are kept: S3, or a directory.",
    "backup": "What goes into a backup, and its limits.",
    "password": "Where the encryption password comes from; at most one of env, file and vault.\n"
    "KLEIDIA_BACKUP_PASSWORD in the environment comes before all of them. With none, it is asked for.",
    "password.vault": "The encryption password in a KV engine of the vault above. Instead of env and file.",
    "service": "The service, `kleidia-backup serve`. [store], [backup] and [password] are what it begins with;\n"
    "from then on its own settings count, which are changed through its API.",
}

_DATABASE = [
    *_secret(
        "database",
        "conninfo",
        "A libpq connection string or URI; the keys below complete and override it.",
        '"postgresql://backup@db.example.org/kleidia"',
    ),
    Key("database", "host", "text", '"db.example.org"', "Server, or the directory of its socket.", shown=True),
    Key("database", "port", "integer", "5432", "Port."),
    Key("database", "name", "text", '"kleidia"', "Name of the database.", shown=True),
    Key("database", "user", "text", '"backup"', "Role.", shown=True),
    *_secret("database", "password", "Its password. A passfile (~/.pgpass) or PGPASSWORD works too."),
    Key("database", "passfile", "path", '"/etc/kleidia-backup/pgpass"', "A passfile other than ~/.pgpass."),
    Key(
        "database", "sslmode", "text", '"verify-full"', "libpq's sslmode: disable, …, require, verify-ca, verify-full."
    ),
    Key("database", "sslrootcert", "path", '"/etc/kleidia-backup/db-ca.pem"', "PEM file of the server's CA."),
    Key("database", "pg_dump", "program", '"pg_dump"', "Path of pg_dump, not older than the server."),
    Key("database", "psql", "program", '"psql"', "Path of psql."),
    Key("database", "lock_timeout", "seconds", '"10m"', "Longest wait for a table that another session has locked."),
    Key(
        "database",
        "query_timeout",
        "seconds",
        '"60s"',
        "Longest wait for the answer to a question about the database (not for the dump or the restore itself).",
    ),
]

_VAULT = [
    Key(
        "vault",
        "address",
        "text",
        '"https://openbao.example.org:8200"',
        "Address of the server.",
        shown=True,
        standard=("BAO_ADDR", "VAULT_ADDR"),
    ),
    Key(
        "vault", "namespace", "text", '"team/app"', "Namespace, if any.", standard=("BAO_NAMESPACE", "VAULT_NAMESPACE")
    ),
    Key(
        "vault",
        "ca_file",
        "path",
        '"/etc/kleidia-backup/vault-ca.pem"',
        "PEM file of the server's CA.",
        standard=("BAO_CACERT", "VAULT_CACERT"),
    ),
    Key(
        "vault",
        "insecure_tls",
        "boolean",
        "false",
        "Do not verify the server's certificate: only for testing.",
        standard=("BAO_SKIP_VERIFY", "VAULT_SKIP_VERIFY"),
    ),
    Key("vault", "workers", "integer", "20", "Requests at the same time, at most."),
    Key("vault", "request_timeout", "seconds", "100", "Seconds for one request."),
    Key("vault", "retry_budget", "seconds", "60", "Seconds in which nothing at all succeeds before a job gives up."),
    Key(
        "vault",
        "roots",
        "roots",
        "",
        "The folders to back up: a KV mount, a path in it (all of the mount when left out), and the prefix that its\n"
        "secrets have in the archive. kv_version (1 or 2) is asked of the server unless given.\n"
        "In the environment as JSON",
        shown=True,
    ),
    Key(
        "vault.auth",
        "method",
        "text",
        '"approle"',
        "How: token, approle, kubernetes or userpass. Without it: token.",
        shown=True,
        choices=("token", "approle", "kubernetes", "userpass"),
    ),
    *_secret(
        "vault.auth",
        "token",
        "method token: the token. It is renewed while a job runs.",
        '"s.…"',
        ("BAO_TOKEN", "VAULT_TOKEN"),
    ),
    *_secret("vault.auth", "role_id", "method approle: the role id.", '"6f0c…"', secret=False),
    *_secret("vault.auth", "secret_id", "method approle: the secret id."),
    Key(
        "vault.auth",
        "wrapped",
        "boolean",
        "false",
        "method approle: secret_id is a wrapping token around the real one.",
    ),
    Key("vault.auth", "role", "text", '"backup"', "method kubernetes: the role."),
    Key(
        "vault.auth",
        "jwt_file",
        "path",
        '"/var/run/secrets/kubernetes.io/serviceaccount/token"',
        "method kubernetes: the service account's token.",
    ),
    Key("vault.auth", "username", "text", '"backup"', "method userpass: the user."),
    *_secret("vault.auth", "password", "method userpass: the password."),
    Key("vault.auth", "mount", "text", '"approle"', "Where the method is mounted, if not under its own name."),
]

_STORE = [
    Key(
        "store",
        "type",
        "text",
        '"s3"',
        "s3 or directory. Without it: s3, if there is a bucket.",
        shown=True,
        choices=("s3", "directory"),
    ),
    Key("store", "path", "path", '"/var/backups/kleidia"', "type directory: the directory; it must exist."),
    Key(
        "store",
        "endpoint",
        "text",
        '"https://minio.example.org"',
        "URL of the store; without it: AWS.",
        shown=True,
        standard=("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
    ),
    Key("store", "region", "text", '"us-east-1"', "Region.", standard=("AWS_REGION", "AWS_DEFAULT_REGION")),
    Key("store", "bucket", "text", '"kleidia-backups"', "Bucket; it must exist.", shown=True),
    Key("store", "prefix", "text", '"backups/"', "What the name of every archive begins with.", shown=True),
    *_secret(
        "store",
        "access_key_id",
        "Key; without one: AWS's default chain (environment, profile, role).",
        '"AKIA…"',
        secret=False,
    ),
    *_secret("store", "secret_access_key", "Its secret."),
    *_secret("store", "session_token", "The session token of a temporary key."),
    Key(
        "store", "path_style", "boolean", "true", "The bucket in the path of the URL: MinIO, most non-AWS.", shown=True
    ),
    Key("store", "insecure_tls", "boolean", "false", "Do not verify the server's certificate: only for testing."),
    Key("store", "ca_file", "path", '"/etc/kleidia-backup/s3-ca.pem"', "PEM file of the store's CA."),
    Key(
        "store",
        "checksum",
        "text",
        '"crc32"',
        "Checksum sent with every part: crc32, md5, or none for stores that refuse both.",
        choices=("crc32", "md5", "none"),
    ),
    Key("store", "sign_payload", "boolean", "true", "Sign bodies as well as headers; without it: only over http."),
    Key("store", "connect_timeout", "seconds", "10", "Seconds to connect."),
    Key("store", "read_timeout", "seconds", "300", "Seconds without a byte before a request is tried again."),
    Key("store", "operation_timeout", "seconds", '"30m"', "Time for one operation with all its retries."),
    Key("store", "attempts", "integer", "8", "Attempts for each part of an upload."),
    Key("store", "connections", "integer", "24", "Connections at the same time, at most."),
]

_BACKUP = [
    Key("backup", "include_audit_logs", "boolean", "true", "Whether the rows of audit_tables are backed up."),
    Key("backup", "audit_tables", "names", '["audit_logs"]', "Tables of the audit log."),
    Key(
        "backup",
        "preserve_tables",
        "names",
        '["backup_jobs"]',
        "Tables that keep their rows through a restore, and whose rows are not backed up.",
    ),
    Key(
        "backup",
        "part_size",
        "size",
        '"16MiB"',
        "Size of a part of an upload; without it: chosen by the database's size.",
    ),
    Key(
        "backup",
        "state_dir",
        "path",
        '"/var/lib/kleidia-backup"',
        "Directory for the journal by which a failed restore is undone; each system has its own. Without it:\n"
        "/var/lib/kleidia-backup for root, else kleidia-backup in $XDG_STATE_HOME or ~/.local/state.",
        standard=("KLEIDIA_STATE_DIR",),
    ),
    Key("backup", "job_timeout", "seconds", '"2h"', "Longest time for one backup, restore or verification."),
]

_PASSWORD = [
    Key("password", "env", "text", '"BACKUP_PASSWORD"', "Name of an environment variable.", group="password"),
    Key(
        "password",
        "file",
        "path",
        '"/etc/kleidia-backup/password"',
        "A file; one line break at its end does not count.",
        shown=True,
        group="password",
    ),
    Key("password.vault", "mount", "text", '"secret"', "The KV mount.", group="password", alternative="vault"),
    Key(
        "password.vault", "path", "text", '"kleidia/backup"', "The secret in it.", group="password", alternative="vault"
    ),
    Key(
        "password.vault",
        "field",
        "text",
        '"password"',
        "The secret's field that holds the password.",
        group="password",
        alternative="vault",
    ),
]

_SERVICE = [
    Key("service", "host", "text", '"127.0.0.1"', "Address to listen at; 0.0.0.0 is all of the machine's."),
    Key("service", "port", "integer", "8080", "Port to listen at."),
    Key(
        "service",
        "forwarded_allow_ips",
        "names",
        '["10.0.0.5"]',
        "Addresses or networks of the proxies whose X-Forwarded-For and X-Forwarded-Proto are believed. Without it:\n"
        "nobody's, and the audit log has the proxy's address.",
    ),
    *_secret(
        "service",
        "metrics_token",
        "A token for /metrics, of 16 characters at least; without it: the token of anybody with a role.",
    ),
    Key("service", "metrics_public", "boolean", "false", "/metrics takes no token at all."),
    *_secret(
        "service",
        "control_conninfo",
        "libpq connection string of the database for the service's own tables; without it: that of [database].",
        '"postgresql://backup@db.example.org/control"',
    ),
    Key(
        "service",
        "target",
        "text",
        '"kleidia"',
        "Name of what is backed up: services with one control database and one target run one job at a time.\n"
        "Without it: the database's name.",
    ),
    Key(
        "service",
        "secrets_mount",
        "text",
        '"secret"',
        "KV mount for the secrets among the settings (the encryption password, the store's key); without it: that of\n"
        "the first of vault.roots.",
    ),
    Key(
        "service",
        "secrets_path",
        "text",
        '"kleidia/backup-service/kleidia"',
        "Folder in it, one for each target; without it: backup-service/ and the target, in the first of vault.roots.",
    ),
    Key(
        "service",
        "jwt_mount",
        "text",
        '"secret"',
        "KV mount of the secret that signs users' tokens (HS256); without it: that of the first of vault.roots.",
    ),
    Key("service", "jwt_path", "text", '"kleidia/jwt-secret"', "Its path; without it: jwt-secret in the first root."),
    Key("service", "jwt_field", "text", '"secret"', "Its field."),
    Key("service", "jwks_url", "text", '"https://login.example.org/keys"', "URL of the issuer's keys, instead of it."),
    Key("service", "jwt_audience", "text", '"kleidia-backup"', "The audience that a token must name, if any."),
    Key("service", "jwt_issuer", "text", '"https://login.example.org"', "The issuer that a token must name, if any."),
    Key("service", "role_claim", "text", '"role"', "The claim of a token that holds its owner's role or roles."),
    Key("service", "admin_roles", "names", '["admin"]', "Roles that may do everything."),
    Key("service", "viewer_roles", "names", '["viewer"]', "Roles that may look."),
    Key("service", "grace", "seconds", "30", "How long a running job may go on when the service is stopped."),
]

KEYS: dict[tuple[str, str], Key] = {
    (key.section, key.name): key for key in (*_DATABASE, *_VAULT, *_STORE, *_BACKUP, *_PASSWORD, *_SERVICE)
}
