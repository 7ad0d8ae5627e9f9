# ruff: noqa: PTH118, PTH120 - this runs at each import of rpc, where importing pathlib is felt
"""Tells when another package named `contracts` or `transports` stands in front of ours."""

import importlib.util
import os.path

__all__ = ["refuse_shadowed"]


def refuse_shadowed(*names: str) -> None:
    """Raise `ImportError` where importing one of `names` would not give the package beside us."""
    home = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
    for name in names:
        spec = importlib.util.find_spec(name)
        found = None if spec is None or spec.origin is None else os.path.realpath(spec.origin)
        ours = os.path.join(home, name)
        if found is None or os.path.dirname(found) != ours:
            raise ImportError(
                f"rpc needs its own package {name!r} in {ours}, but 'import {name}' finds "
                f"{found or 'nothing'}. Rename yours, move it into a package of your project, or "
                f"put {home} before it on sys.path.",
                name=name,
            )
