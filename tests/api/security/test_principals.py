from __future__ import annotations

import pytest

from tempogram.api.security.principals import BearerTokens, Principal, Role
from tempogram.engine.model.errors import SettingsError

ADMIN = "admin-token-of-a-test"
VIEWER = "viewer-token-of-a-test"


def test_each_token_gives_its_role_and_any_other_text_none() -> None:
    tokens = BearerTokens({"ADMIN_TOKEN": (Role.ADMIN, ADMIN), "VIEWER_TOKEN": (Role.VIEWER, VIEWER)})

    assert tokens.principal_of(ADMIN) == Principal("admin", Role.ADMIN)
    assert tokens.principal_of(VIEWER) == Principal("viewer", Role.VIEWER)
    assert [tokens.principal_of(text) for text in ("", ADMIN[:-1], f"{ADMIN} ", "é", "\udcff")] == [None] * 5


@pytest.mark.parametrize(
    ("admin", "viewer", "said"),
    [
        ("", VIEWER, "the admin token is empty"),
        ("short", "", "ADMIN_TOKEN has 5 characters; it needs at least 16"),
        (ADMIN, ADMIN, "ADMIN_TOKEN and VIEWER_TOKEN are the same token"),
        (ADMIN, "a b" * 9, "VIEWER_TOKEN has a character that not every client can send"),
    ],
)
def test_tokens_that_protect_nothing_are_refused_without_a_quote(admin: str, viewer: str, said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        BearerTokens({"ADMIN_TOKEN": (Role.ADMIN, admin), "VIEWER_TOKEN": (Role.VIEWER, viewer)})

    assert str(refused.value).startswith(said)
    assert not [token for token in (admin, viewer) if token and token in str(refused.value)]
