from __future__ import annotations

from tempogram.storage.identity.roles import Role


def test_each_role_includes_those_below_it() -> None:
    assert Role.VIEWER < Role.OPERATOR < Role.ADMIN
