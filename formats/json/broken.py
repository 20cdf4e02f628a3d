"""What a decoder of msgspec raises for bytes that are not the JSON it wants.

Text that is no UTF-8 and what is nested too deep have errors of their own, which are none of msgspec's.
"""

from __future__ import annotations

import msgspec

BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
