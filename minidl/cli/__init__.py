"""The command line: ``minidl train | evaluate | predict | summary | export | compare | info``.

An error is one line on standard error and exit code 2; Ctrl-C keeps what there is and gives 130.
"""

from .main import main

__all__ = ["main"]
