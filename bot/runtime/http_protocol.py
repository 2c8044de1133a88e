"""The protocol of one HTTP connection: uvicorn's, with a bound on what a client may send besides a body.

httptools has no bound of its own: it collects a header until its line ends, and copies it at every read, so one client
without a token could take all memory and all time of the process.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from tempogram.api.core.errors import HeadTooLarge, HeadTooSlow, Malformed, error_response

HEAD_BYTES_MAX = 32 << 10
"""A request line and its headers, or what stands between two pieces of a body; twice what Node.js takes. It also bounds
what a read may cost, since the parser copies what it has of a header at each."""

HEAD_LINES_MAX = 100
"""Headers of a request. untuned: proxies add a handful to the ten that Telegram sends."""

HEAD_S = 20.0
"""How long a head may take from its first byte, or from the connection on. untuned: it arrives in one packet or two."""

PIECE_BYTES = 8 << 10
"""The parser gets this much at a time, so that a head ends at its bound however much one read brings."""

LINGER_S = 1.0
LINGER_BYTES = 256 << 10
"""How long, and how much, is still read and thrown away after a refusal. A connection that is closed with unread bytes
is reset, and the client might never see the answer. untuned: enough for what was under way."""

MALFORMED = "this is not an HTTP request"


class HttpProtocol(HttpToolsProtocol):
    """Refuses a head that is too large (431) or too slow (408), and closes the connection.

    A connection is in a message from the first byte of its request line to the last of its body, and in a head until
    the body begins. Bytes since the last progress are counted: a head that is complete, a piece of a body, the end of
    a message. What a chunked body has between its pieces, and after the last one, is bounded by that, too. A body that
    goes on after its request was answered has as much time as a head, and then its connection is closed.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._is_in_message = False
        self._is_in_head = True
        self._bytes_since_progress = 0
        self._has_progressed = False
        self._body_bytes = 0
        self._refusal: Exception | None = None
        self._linger_bytes = LINGER_BYTES
        self._head_timer: asyncio.TimerHandle | None = None

    # From the network

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refusal is not None:
            self._throw_away(data)
            return
        progress = False
        for start in range(0, len(data), PIECE_BYTES):
            self._receive(data[start : start + PIECE_BYTES])
            progress = progress or self._has_progressed
            if self._refusal is not None or self.transport.is_closing():
                return
        is_late_body = not self._is_in_head and not self._is_answering()
        if progress and not is_late_body:
            self._stop_head_timer()  # what is in a head now is another one, which has its own time
        if is_late_body or (self._is_in_head and (self._is_in_message or not progress)):
            self._start_head_timer()
        else:
            self._stop_head_timer()

    def _receive(self, piece: bytes) -> None:
        self._has_progressed, self._body_bytes = False, 0
        super().data_received(piece)
        others = len(piece) - self._body_bytes
        self._bytes_since_progress = others if self._has_progressed else self._bytes_since_progress + others
        if self._bytes_since_progress > HEAD_BYTES_MAX and self._refusal is None:
            self._refuse(HeadTooLarge(f"the head of a request must not exceed {HEAD_BYTES_MAX:,} bytes"))

    # From the parser

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_message = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(self.headers) >= HEAD_LINES_MAX:
            self._refusal = HeadTooLarge(f"the head of a request must not exceed {HEAD_LINES_MAX} lines")
            raise self._refusal  # the parser stops, and ``send_400_response`` is called
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._is_in_head, self._has_progressed = False, True

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        self._body_bytes += len(body)
        self._has_progressed = True

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._is_in_message, self._is_in_head, self._has_progressed = False, True, True

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - ours says the same in our format
        """Refuse what the parser does not take; see ``HttpToolsProtocol``."""
        self._refuse(self._refusal or Malformed(MALFORMED))

    # Refusals

    def _start_head_timer(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_S, self._end_slow_head)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _end_slow_head(self) -> None:
        self._head_timer = None
        if self._is_answering():  # reads may be paused until then, which is not the client's fault
            self._start_head_timer()
        elif not self._is_in_head:
            self.transport.close()
        elif self._refusal is None and not self.transport.is_closing():
            self._refuse(HeadTooSlow(f"the head of a request must be there within {HEAD_S:g} s"))

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, refusal: Exception) -> None:
        """Answer and close the connection; only close it while a request before, or this one's body, is worked on."""
        self._refusal = refusal
        self._stop_head_timer()
        if self.transport.is_closing():
            return
        if self._is_answering():
            self.transport.close()
            return
        self.transport.write(written(refusal))
        self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.close)

    def _throw_away(self, data: bytes) -> None:
        self._linger_bytes -= len(data)
        if self._linger_bytes < 0:
            self.transport.abort()


def written(refusal: Exception) -> bytes:
    """Return the response to an error as it goes over a connection that is closed after it."""
    response = error_response(refusal)
    headers = (*response.raw_headers, (b"connection", b"close"))
    head = b"".join(b"%b: %b\r\n" % header for header in headers)
    return STATUS_LINE[response.status_code] + head + b"\r\n" + bytes(response.body)
