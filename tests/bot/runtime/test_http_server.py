from __future__ import annotations

import socket

import pytest

from tempogram.bot.runtime.http_server import address_of, listening


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost"])
def test_the_displayed_address_is_reachable_from_this_machine(host: str) -> None:
    with listening(host, 0) as listener:
        assert address_of(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_an_address_of_ipv6_can_be_listened_on() -> None:
    with listening("::1", 0) as one, listening("::", 0) as every:
        assert address_of(one) == f"http://[::1]:{one.getsockname()[1]}"
        socket.create_connection(("127.0.0.1", every.getsockname()[1])).close()
