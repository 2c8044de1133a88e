from __future__ import annotations

import pytest

from bot.serve import address_of, listening


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost"])
def test_the_address_that_is_shown_can_be_reached_from_here(host: str) -> None:
    with listening(host, 0) as listener:
        assert address_of(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}"
