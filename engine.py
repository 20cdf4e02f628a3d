"""The streaming engine for purposes of your own; ``docs/engine.md`` shows how. It needs nothing but anyio.

``testing`` holds the helpers for authors of stages.
"""

from .pipeline.engine import *  # noqa: F403 - all of it, under the name that programs import
from .pipeline.engine import testing as testing  # noqa: PLC0414 - offered here as well
