"""A restore: verify everything first, then the mirror DAG, then COMMIT.

    download ─ sha256 ─ open ─ decompress ─ split ─┬─ psql, one transaction
                                                   └─ vault, 20 workers

COMMIT is written only when this second reading was authenticated to its last byte and the vault stage ended within
its threshold: ``run()`` returns only then.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from ..stages.drain import drain
from ..stages.errors import ConfigurationError
from .engine import Pipeline
from .job import JOB_TIMEOUT, Job, check_password, open_store, time_limit
from .opening import open_archive
from .report import RestoreReport
from .verify import COUNTERS, verify_pass

if TYPE_CHECKING:
    from ..formats.v1 import Header
    from ..stages.pg.psql import PsqlSession
    from ..stages.pg.settings import PostgresSettings
    from ..stages.stores.base import ObjectStore
    from ..stages.stores.directory import DirectorySettings
    from ..stages.stores.s3 import S3Settings
    from ..stages.vault.settings import VaultSettings
    from ..stages.vault.sink import VaultSink
    from .job import Logger
    from .report import OnProgress
