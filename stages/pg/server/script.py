"""SQL of more than a few lines lies in a file, in the folder of the module that runs it."""

from __future__ import annotations

import re
from pathlib import Path


def script(module: str, name: str, **values: str) -> str:
    """The text of the file ``name``.sql in a module's folder (``__file__``), with the values in place of ``:value``."""
    text = Path(module).with_name(f"{name}.sql").read_text(encoding="utf-8")
    return re.sub(r"(?<!:):(\w+)", lambda match: values.get(match[1], match[0]), text)
