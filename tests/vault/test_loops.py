"""On another event loop than asyncio's, the vault and S3 say so in a sentence of ours."""

from pathlib import Path

import pytest
import trio

from kleidia_backup import DirectorySettings, Root, S3Settings, TokenAuth, VaultSettings, backup, list_archives
from kleidia_backup.stages.errors import ConfigurationError


def test_trio_is_refused_in_a_sentence() -> None:
    """Before anything is asked."""
    vault = VaultSettings("http://127.0.0.1:1", TokenAuth("t"), (Root("", "secret"),))
    bucket = S3Settings("b", endpoint="http://127.0.0.1:1", access_key_id="a", secret_access_key="s")

    async def back_up() -> None:
        await backup(store=DirectorySettings(Path()), password="correct horse battery staple", vault=vault)

    async def list_all() -> None:
        await list_archives(bucket)

    for job, what in ((back_up, "The vault"), (list_all, "S3")):
        with pytest.raises(ConfigurationError, match=f"{what} can be used on asyncio alone"):
            trio.run(job)
