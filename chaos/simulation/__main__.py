"""`python -m chaos.simulation`: many seeds, and for each that fails the command that repeats it."""

import sys
import time

import click

from chaos.mutants import MUTANTS
from chaos.simulation.run import simulate


@click.command(help=__doc__)
@click.option("--seeds", default=500, show_default=True, help="how many, from 0 or --first on")
@click.option("--first", default=0, show_default=True)
@click.option("--seed", type=int, help="this one alone")
@click.option("--calls", default=200, show_default=True, help="calls in each run")
@click.option("--mutant", type=click.Choice(sorted(MUTANTS)), help="with this bug planted")
@click.option("--trace", is_flag=True, help="print the digest of what happened")
def main(
    seeds: int, first: int, seed: int | None, calls: int, mutant: str | None, *, trace: bool
) -> None:
    """Run the seeds."""
    chosen = range(first, first + seeds) if seed is None else [seed]
    began, failed, made = time.monotonic(), 0, 0
    for one in chosen:
        outcome = simulate(one, calls=calls, mutant=mutant)
        made += len(list(outcome.run.invoked()))
        if trace:
            print(f"seed {one}: {outcome.trace}")
        if outcome.violations:
            failed += 1
            planted = f" --mutant {mutant}" if mutant else ""
            print(f"python -m chaos.simulation --seed {one} --calls {calls}{planted}")
            print("\n".join(map(str, outcome.violations[:5])), flush=True)
    took = time.monotonic() - began
    print(f"{failed} of {len(chosen)} seeds failed; {made} calls checked in {took:.1f} s")
    sys.exit(bool(failed))


main()
