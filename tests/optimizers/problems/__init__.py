"""The bank of test problems: functions of a vector w (P,) with a start and their known minima.

None is downloaded: formulas, data and minima are written down here as they were published, or computed where the page
of a problem says how. `BANK` is all of them, each from its standard start.
"""

from problems.function import TestFunction
from problems.learning import LEARNING
from problems.more_garbow_hillstrom import MGH, rosenbrock, wood
from problems.nist import NIST

BANK = [*MGH, *(regression.scaled(i) for regression in NIST for i in (1, 0)), *LEARNING]

__all__ = ["BANK", "LEARNING", "MGH", "NIST", "TestFunction", "rosenbrock", "wood"]
