"""The roles of users and tokens."""

from __future__ import annotations

from enum import IntEnum


class Role(IntEnum):
    """Each role includes those below it.

    ``VIEWER`` reads, ``OPERATOR`` acts on messages and pauses bots, ``ADMIN`` changes bots, limits, users and secrets.
    """

    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3
