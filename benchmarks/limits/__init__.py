"""What every benchmark must reach and aims at: what the assertions and README's tables are made of."""

from .limit import Limit
from .v1 import V1
from .v2 import V2

#: The tables by their titles.
TABLES: dict[str, dict[str, Limit]] = {
    "Archive format V1, and what is the same for both formats": V1,
    "Archive format V2": V2,
}
LIMITS: dict[str, Limit] = V1 | V2

__all__ = ["LIMITS", "TABLES", "Limit"]
