"""``python -m tests.campaign [ATTACK ...] --seconds N --seed S``."""

from __future__ import annotations

import argparse
import secrets
import sys
from collections.abc import Sequence

from .frame import Attack, Result, discover, run


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the attacks one after another; return 1 if something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description="Attack minidl at random.")
    parser.add_argument("attacks", nargs="*", metavar="ATTACK", help="name or kind (default: all of them)")
    parser.add_argument("--seconds", type=float, default=60, help="for each attack (default: 60)")
    parser.add_argument("--seed", type=int, help="of the campaign (default: a new one)")
    parser.add_argument("--draw", type=int, metavar="N", help="repeat this draw alone")
    parser.add_argument("--list", action="store_true", help="print the attacks")
    options = parser.parse_args(arguments)
    known = discover()
    chosen = [found for name, found in known.items() if _asked(name, options.attacks)]
    if unknown := [name for name in options.attacks if not any(_asked(other, [name]) for other in known)]:
        parser.error(f"there is no attack {', '.join(unknown)}; known: {', '.join(known)}")
    if options.list:
        print("\n".join(f"{found.name:34}{(found.draw.__doc__ or '').splitlines()[0]}" for found in chosen))
        return 0
    seed = secrets.randbelow(2**32) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    results: list[Result] = []
    try:
        for found in chosen:
            if found.missing:
                print(f"{found.name}: left out, it needs {found.missing}")
            else:
                results.append(_run(found, options.seconds, seed, options.draw))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
    _print_table(results)
    return int(any(result.found for result in results))


def _asked(name: str, asked: Sequence[str]) -> bool:
    return not asked or name in asked or name.partition(".")[0] in asked


def _run(attack: Attack, seconds: float, seed: int, only: int | None) -> Result:
    # not tqdm, whose locks and thread the attacks' processes would inherit
    def tell(result: Result) -> None:
        if sys.stderr.isatty():
            done = min(20, int(20 * result.seconds / seconds))
            print(f"\r{'#' * done:.<20} {str(result)[:90]:90}", end="", file=sys.stderr, flush=True)

    result = run(attack, seconds, seed, only, tell)
    if sys.stderr.isatty():
        print(f"\r{'':112}\r", end="", file=sys.stderr, flush=True)
    print(result)
    for number, text in result.found.items():
        print(f"  draw {number}: {text.rstrip()}".replace("\n", "\n    "))
        print(f"  again: python -m tests.campaign {attack.name} --seed {seed} --draw {number}", flush=True)
    return result


def _print_table(results: list[Result]) -> None:
    print(f"\n{'attack':34}{'draws':>10}{'seconds':>9}{'MB':>6}{'found':>7}")
    for result in results:
        name, memory = result.attack.name, result.memory / 2**20
        print(f"{name:34}{result.draws:10,}{result.seconds:9.0f}{memory:6.0f}{len(result.found):7}")


if __name__ == "__main__":
    sys.exit(main())
