"""A campaign against minidl: attacks at random, for as long as one likes. ``python -m tests.campaign --help``.

Each kind of attack is a file. An attack is a function ``draw(rng, counts)`` with the decorator `frame.attack`: it does
one attempt with what it draws from a numpy Generator, adds to a Counter what it tried and what was survived, by name,
and raises (an AssertionError, say) if it has found a fault.
"""

import sys
from pathlib import Path

_TESTS = str(Path(__file__).parents[1])
if _TESTS not in sys.path:  # what attacks share with tests is there
    sys.path.append(_TESTS)
