"""What ``GET /health`` answers."""

from __future__ import annotations

from typing import Literal

from tempogram.api.schemas.base import ResponseModel
from tempogram.engine.resilience.conditions import Condition


class HealthOut(ResponseModel):
    """Up or not: this path is open to everybody. What is wrong meanwhile is for those who bring a bearer token."""

    status: Literal["up", "down"]
    conditions: list[Condition] | None = None
