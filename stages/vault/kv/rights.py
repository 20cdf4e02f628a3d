"""Rights on a vault that have a meaning of their own."""

from __future__ import annotations

from ...errors import Right

#: Without it, what else the token lacks is unknown; it may have everything else.
ASKING = Right("update", "sys/capabilities-self", note=", without which the other rights cannot be checked")
