"""Measurements: `python -m benchmarks` compares with the raw driver."""
