"""The command line: ``minidl inspect | train | sweep | evaluate | predict | summary | export | compare | info``.

An error is one line on standard error, and one for each file if it is about several, and exit code 2. After Ctrl-C,
what has been trained is saved, and the exit code is 130. This file imports nothing before it is ready for Ctrl-C.
"""

import sys

__all__ = ["main"]


def main(arguments: "list[str] | None" = None) -> int:
    """Run the command line; return the exit code: 0 done, 1 some runs of a sweep failed, 2 an error, 130 interrupted.

    Args:
        arguments: without the program's name; None means those of the process.
    """
    try:
        if arguments is None:
            _import_or_leave()
        from .parser import run_command  # noqa: PLC0415 - takes a while, in which Ctrl-C may come

        return run_command(arguments)
    except KeyboardInterrupt:
        print("minidl: interrupted", file=sys.stderr)
        return 130


def _import_or_leave() -> None:
    """Import what the commands need; Ctrl-C ends the process at once, whatever becomes of it in other people's modules.

    An import that is interrupted may turn KeyboardInterrupt into another error, or lose it.
    """
    import signal  # noqa: PLC0415

    def leave(*_: object) -> None:
        import os  # noqa: PLC0415

        os.write(2, b"minidl: interrupted\n")
        os._exit(130)

    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # ignored, as by nohup
        return
    signal.signal(signal.SIGINT, leave)
    try:
        from . import parser  # noqa: F401, PLC0415
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
