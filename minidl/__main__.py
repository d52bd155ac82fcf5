"""``python -m minidl`` is the command ``minidl``."""

import sys

if __name__ == "__main__":
    if not sys.flags.isolated and not getattr(sys.flags, "safe_path", False):
        del sys.path[0]  # the current directory, where a file may have the name of any module
    from .cli import main

    sys.exit(main())
