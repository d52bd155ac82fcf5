"""The command line: ``minidl train | evaluate | predict | summary | export | compare | info``.

An error is one line on standard error and exit code 2. After Ctrl-C, what has been trained is saved, and the exit code
is 130.
"""

from .main import main

__all__ = ["main"]
