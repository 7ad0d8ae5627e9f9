"""Which tests find which planted bug."""

import os
import subprocess
import sys
import time

from chaos.mutants import ENV, MUTANTS, Mutant
from chaos.simulation import simulate

__all__ = ["found_by_simulation", "found_by_tests", "main"]

SEEDS = 150
CALLS = 120
_TEST_SECONDS = 300


def found_by_simulation(mutant: Mutant, seeds: int = SEEDS, calls: int = CALLS) -> str | None:
    """Return which seed and invariant find `mutant`, None if none of `seeds` does."""
    for seed in range(seeds):
        violations = simulate(seed, calls=calls, mutant=mutant.name).violations
        if violations:
            return f"{violations[0].invariant}, seed {seed}"
    return None


def found_by_tests(mutant: Mutant) -> str | None:
    """Return which of its tests fail with `mutant` planted, None if all pass."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "chaos.mutants", *mutant.tests]
    environment = {**os.environ, ENV: mutant.name}
    done = subprocess.run(
        command, env=environment, capture_output=True, timeout=_TEST_SECONDS, check=False
    )
    ran = b" failed" in done.stdout.splitlines()[-1]  # and not: could not be run
    return " ".join(mutant.tests) if ran else None


def main() -> int:
    """Print what finds each mutant, and the score."""
    missed = 0
    for mutant in MUTANTS.values():
        began = time.monotonic()
        found = found_by_tests(mutant) if mutant.tests else found_by_simulation(mutant)
        missed += found is None
        took = time.monotonic() - began
        print(f"{mutant.name:32}{took:6.1f} s  {found or 'NOT FOUND: ' + mutant.what}", flush=True)
    print(f"{len(MUTANTS) - missed} of {len(MUTANTS)} found")
    return bool(missed)
