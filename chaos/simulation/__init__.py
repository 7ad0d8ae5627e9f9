"""Deterministic simulation: the real channels and servers, a virtual broker, one seed.

python -m chaos.simulation --seeds 500
"""

from chaos.simulation.run import Outcome, simulate

__all__ = ["Outcome", "simulate"]
