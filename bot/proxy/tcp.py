"""A connection to a host, by whichever of its addresses answers first."""

from __future__ import annotations

import asyncio
import socket

from aiohappyeyeballs import start_connection

NEXT_ADDRESS_S = 0.25
"""How long one address of a host may take before the next is tried beside it: https://www.rfc-editor.org/rfc/rfc8305"""


async def connect_tcp(host: str, port: int) -> socket.socket:
    """Connect to the first of a host's addresses that answers."""
    addresses = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return await start_connection(addresses, happy_eyeballs_delay=NEXT_ADDRESS_S)
