"""Measurements: `python -m benchmarks` compares with raw drivers and gRPC."""
