"""Where the browser is, and how it is started."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec

CHROMIUM = os.environ.get("KLEIDIA_TEST_CHROMIUM") or shutil.which("chromium")
#: Without a sandbox, for tests run as root in containers as well; nothing but our own page is opened.
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
#: What is missing for a browser, in words.
MISSING = [
    what
    for what, there in (
        ("Chromium (apt-get install chromium, or KLEIDIA_TEST_CHROMIUM)", CHROMIUM),
        ("playwright and axe-playwright-python (pip install '.[web-test]')", find_spec("axe_playwright_python")),
    )
    if not there
]
