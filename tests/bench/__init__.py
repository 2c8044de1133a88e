"""Tests of benchmarks: what they measure is judged by them, and whether they measure it right is judged here."""
