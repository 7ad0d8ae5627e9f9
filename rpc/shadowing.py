"""Tells when another package named `contracts` or `transports` stands in front of ours."""

import importlib.util
from pathlib import Path

__all__ = ["refuse_shadowed"]


def refuse_shadowed(*names: str) -> None:
    """Raise `ImportError` where importing one of `names` would not give the package beside us."""
    home = Path(__file__).resolve().parent.parent
    for name in names:
        spec = importlib.util.find_spec(name)
        found = None if spec is None or spec.origin is None else Path(spec.origin).resolve()
        if found is None or found.parent != home / name:
            raise ImportError(
                f"rpc needs its own package {name!r} in {home / name}, but 'import {name}' finds "
                f"{found or 'nothing'}. Rename yours, move it into a package of your project, or "
                f"put {home} before it on sys.path.",
                name=name,
            )
