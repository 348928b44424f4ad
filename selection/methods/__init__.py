"""Selection methods behind one protocol: each makes a choice from one draw of a pool.

Published rules are rebuilt from their descriptions; each method names its source. `METHODS` has them all, in the order
in which reports show them.
"""

from selection.methods.base import Choice, Method, Signal
from selection.methods.registry import METHODS, OURS, OWN, RANDOM

__all__ = ["METHODS", "OURS", "OWN", "RANDOM", "Choice", "Method", "Signal"]
