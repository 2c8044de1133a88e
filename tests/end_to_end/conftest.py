"""Several programs at once are forked from a server that has imported."""

from __future__ import annotations

from tests.forked_engine import _forked_engines

__all__ = ["_forked_engines"]
