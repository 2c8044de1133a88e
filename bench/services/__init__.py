"""Benchmarks of the calls to services."""
