"""What ``GET /health`` answers."""

from __future__ import annotations

from typing import Literal

from tempogram.api.schemas.base import ResponseModel
from tempogram.engine.resilience.conditions import Condition


class HealthOut(ResponseModel):
    """Whether the process is up; with a bearer token also the conditions that last."""

    status: Literal["up", "down"]
    conditions: list[Condition] | None = None
