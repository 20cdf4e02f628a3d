"""Argon2id computed once for each password and salt, and few salts: a key costs more than a tenth of a second.

The functions above Argon2id are the product's own, and what they are given is as well; so an archive of these tests can
be opened by any other program. That salts are fresh, and the keys those of the specification, is shown without this:
``pipelines/test_foreign.py`` and ``formats/test_seal_gzip.py``, ``formats/test_v2_slots.py``.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import pytest
from argon2.low_level import hash_secret_raw

from kleidia_backup.formats.crypto import seal
from kleidia_backup.formats.v1.header import SALT_SIZE
from kleidia_backup.formats.v2.keys import slot_kinds, slots
from kleidia_backup.pipeline.archives import v1

#: Salts of each size: enough that archives made one after another have different ones.
_SALTS = 6
_KEYS = 512


class FewSalts:
    """Stands for ``os`` where salts are drawn."""

    def __init__(self) -> None:
        sizes = (SALT_SIZE, slot_kinds.SALT_SIZE)
        self._drawn = {size: itertools.cycle([os.urandom(size) for _ in range(_SALTS)]) for size in sizes}

    def urandom(self, size: int) -> bytes:
        """One of the salts in turn, for the size of a salt; for any other size fresh bytes."""
        return next(self._drawn[size]) if size in self._drawn else os.urandom(size)


@contextmanager
def quick_keys() -> Iterator[None]:
    """In this process, until the end of the context."""
    once, few = lru_cache(_KEYS)(hash_secret_raw), FewSalts()
    with pytest.MonkeyPatch.context() as patch:
        for module in (seal, slots):
            patch.setattr(module, "hash_secret_raw", once)
        for drawing in (v1, slots):
            patch.setattr(drawing, "os", few)
        yield


def fresh_salts(patch: pytest.MonkeyPatch) -> None:
    """As users have them, for a test about salts."""
    for drawing in (v1, slots):
        patch.setattr(drawing, "os", os)
