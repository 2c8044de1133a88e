"""Benchmarks start programs, too, which here need not import what a server has imported."""

from __future__ import annotations

from tests.forked_engine import _forked_engines

__all__ = ["_forked_engines"]
