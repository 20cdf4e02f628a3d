"""``python -m kleidia_backup.demo.servers.guardian DIRECTORY [remove]``: end the servers recorded there with stdin.

Whoever starts this holds the other end of stdin and never writes. When that process dies, however it dies, the
kernel closes the pipe. With ``remove`` the directory is removed then, too.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from .processes import stop_recorded

if __name__ == "__main__":
    sys.stdin.buffer.read()
    stop_recorded(Path(sys.argv[1]))
    if sys.argv[2:] == ["remove"]:
        shutil.rmtree(sys.argv[1], ignore_errors=True)
