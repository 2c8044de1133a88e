"""The protocol of one HTTP connection: uvicorn's, with a bound on what a client may send besides a body, and on time.

httptools has no bound of its own: it collects a header until its line ends, and copies it at every read, so one client
without a token could take all memory and all time of the process. uvicorn has none on the time for an answer: a
connection stays as long as its client reads nothing.
"""

from __future__ import annotations

import asyncio
import re
from enum import Enum, auto
from typing import Any

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from tempogram.api.core.errors import Busy, HeadTooLarge, HeadTooSlow, Malformed, error_response
from tempogram.api.http.body_reader import BODY_S, PACE_BYTES
from tempogram.bot.runtime.client_connections import ClientConnections

HEAD_BYTES_MAX = 32 << 10
"""A request line and its headers, or what stands between two pieces of a body; twice what Node.js takes. It also bounds
what a read may cost, since the parser copies what it has of a header at each."""

HEAD_LINES_MAX = 100
"""Headers of a request. untuned: proxies add a handful to the ten that Telegram sends."""

HEAD_S = 20.0
"""How long a head may take from its first byte, or from the connection on. untuned: it arrives in one packet or two."""

ANSWER_S = 20.0
"""In each such time a client reads ``PACE_BYTES`` of an answer, or the rest of it. untuned: as for a body."""

PIECE_BYTES = 8 << 10
"""The parser gets this much at a time, so that a head ends at its bound however much one read brings."""

LINGER_S = 1.0
LINGER_BYTES = 256 << 10
"""How long, and how much, is still read and thrown away after a refusal. A connection that is closed with unread bytes
is reset, and the client might never see the answer. untuned: enough for what was under way."""

OFFER = re.compile(rb"(\n)upgrade(?=[ \t]*:)", re.IGNORECASE)
"""The name of the header that offers another protocol."""

MALFORMED = "this is not an HTTP request"

FULL = "too many connections are open; try again in a moment"


class Turn(Enum):
    """What a client is to do now, while we wait for it."""

    HEAD = auto()
    BODY = auto()
    READ = auto()
    NEXT_HEAD = auto()
    GO = auto()


class HttpProtocol(HttpToolsProtocol):
    """Refuses a head that is too large (431) or too slow (408), and closes the connection; also for a newcomer.

    A connection is in a message from the first byte of its request line to the last of its body, and in a head until
    the body begins. Bytes since the last progress are counted: a head that is complete, a piece of a body, the end of
    a message. What a chunked body has between its pieces, and after the last one, is bounded by that, too. A body that
    goes on after its request was answered has as much time as a head, and then its connection is closed. A body that
    is waited for is timed by ``BodyReader``.

    Args:
        clients: All connections of the server.
        args: As uvicorn's.
        kwargs: As uvicorn's.
    """

    def __init__(self, *args: Any, clients: ClientConnections, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._clients = clients
        self._is_fresh = True  # no request has begun
        self._noted_turn: Turn | None = None
        self._worked_on: RequestResponseCycle | None = None  # ``cycle`` is the last one that a client has pipelined
        self._paced_bytes = 0
        self._answer_timer: asyncio.TimerHandle | None = None
        self._unread_bytes = 0
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
        has_room = self._clients.add(self, self.client[0] if self.client else "")
        self._start_head_timer()
        self._note_turn()
        if not has_room:
            self._refuse(Busy(FULL))

    def connection_lost(self, exc: Exception | None) -> None:
        self._clients.remove(self)
        self._stop_head_timer()
        self._stop_answer_timer()
        if self._worked_on is not None and not self._worked_on.response_complete:
            self._worked_on.disconnected = True
            self._worked_on.message_event.set()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """See ``asyncio.BaseProtocol``: the client does not read as fast as it is answered."""
        super().pause_writing()
        self._start_answer_timer()
        self._note_turn()

    def resume_writing(self) -> None:
        """See ``asyncio.BaseProtocol``."""
        super().resume_writing()
        if not self.transport.is_closing():
            self._stop_answer_timer()
            self._note_turn()

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
        self._note_turn()

    def _receive(self, piece: bytes) -> None:
        self._has_progressed, self._body_bytes = False, 0
        super().data_received(without_upgrade(piece) if self._is_in_head else piece)
        others = len(piece) - self._body_bytes
        self._bytes_since_progress = others if self._has_progressed else self._bytes_since_progress + others
        if self._bytes_since_progress > HEAD_BYTES_MAX and self._refusal is None:
            self._refuse(HeadTooLarge(f"the head of a request must not exceed {HEAD_BYTES_MAX:,} bytes"))

    # From the parser

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_message, self._is_fresh, self._paced_bytes = True, False, 0

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
        self._paced_bytes += len(body)
        self._has_progressed = True

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._is_in_message, self._is_in_head, self._has_progressed = False, True, True

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - ours says the same in our format
        """Refuse what the parser does not take; see ``HttpToolsProtocol``."""
        self._refuse(self._refusal or Malformed(MALFORMED))

    # From the application

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._worked_on = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._start_answer_timer()  # until what is written has been read, it stays open
        self._note_turn()

    def timeout_keep_alive_handler(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()  # the answer before is not read, so that it would never close
        else:
            super().timeout_keep_alive_handler()

    # Whose turn it is

    def give_way(self) -> None:
        """See ``ClientConnection``."""
        self.transport.abort()

    def abort_unless_unanswered(self) -> None:
        """Close it at once, unless a request of it can still be answered."""
        if self._worked_on is None or self._worked_on.response_started or self.flow.write_paused:
            self.transport.abort()

    def _note_turn(self) -> None:
        turn = self._turn()
        if turn is self._noted_turn and self._paced_bytes < PACE_BYTES:
            return
        self._noted_turn, self._paced_bytes = turn, 0
        if turn is None:
            self._clients.work(self)
        else:
            self._clients.wait(self, self._seconds_of(turn))

    def _turn(self) -> Turn | None:
        """Return what the client is to do now; None: it is our turn."""
        if self._refusal is not None:
            return Turn.GO
        if self.flow.write_paused or self.transport.is_closing():
            return Turn.READ
        if self._is_answering():
            return Turn.BODY if not self._is_in_head and not self.flow.read_paused else None
        if self._is_in_message or not self._is_in_head or self._is_fresh:
            return Turn.HEAD
        return Turn.NEXT_HEAD

    def _seconds_of(self, turn: Turn) -> float:
        seconds = {Turn.HEAD: HEAD_S, Turn.BODY: BODY_S, Turn.READ: ANSWER_S, Turn.GO: LINGER_S}
        return seconds.get(turn, self.timeout_keep_alive)

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
            self._close()
        elif self._refusal is None and not self.transport.is_closing():
            self._refuse(HeadTooSlow(f"the head of a request must be there within {HEAD_S:g} s"))

    def _start_answer_timer(self) -> None:
        self._stop_answer_timer()
        self._unread_bytes = self.transport.get_write_buffer_size()
        self._answer_timer = self.loop.call_later(ANSWER_S, self._end_slow_answer)

    def _stop_answer_timer(self) -> None:
        if self._answer_timer is not None:
            self._answer_timer.cancel()
            self._answer_timer = None

    def _end_slow_answer(self) -> None:
        if self._unread_bytes - self.transport.get_write_buffer_size() < PACE_BYTES:
            self.transport.abort()
        else:
            self._start_answer_timer()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, refusal: Exception) -> None:
        """Answer and close the connection; only close it while a request before is worked on, or this one answered."""
        self._refusal = refusal
        self._stop_head_timer()
        self._note_turn()
        if self.transport.is_closing():
            return
        if self._is_answering() and not self._give_up_body():
            self._close()
            return
        self.transport.write(written(refusal))
        self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.abort)

    def _give_up_body(self) -> bool:
        """Tell the application that its client is gone, if it waits for a body; it has then answered nothing."""
        if self._is_in_head or self.cycle is not self._worked_on or self.cycle.response_started:
            return False
        self.cycle.disconnected = True
        self.cycle.message_event.set()
        return True

    def _close(self) -> None:
        """Close the connection once what is written has been read, or after a while."""
        self.transport.close()
        self._start_answer_timer()

    def _throw_away(self, data: bytes) -> None:
        self._linger_bytes -= len(data)
        if self._linger_bytes < 0:
            self.transport.abort()


def written(refusal: Exception) -> bytes:
    """Return the response to an error as it goes over a connection that is closed after it."""
    response = error_response(refusal)
    headers = [each for each in response.raw_headers if each[0] != b"connection"] + [(b"connection", b"close")]
    head = b"".join(b"%b: %b\r\n" % header for header in headers)
    return STATUS_LINE[response.status_code] + head + b"\r\n" + bytes(response.body)


def without_upgrade(piece: bytes) -> bytes:
    r"""Return a piece of a head in which no other protocol is offered.

    The parser takes what follows such a head for that protocol, and so loses the body. Java's client offers HTTP/2 with
    its first request. We speak HTTP/1.1 only, and an offer may be ignored.
    Source: https://www.rfc-editor.org/rfc/rfc9110#section-7.8

    >>> without_upgrade(b"POST / HTTP/1.1\r\nupgrade: h2c\r\n\r\n\nUpgrade:")
    b'POST / HTTP/1.1\r\nx-upgrade: h2c\r\n\r\n\nUpgrade:'
    """
    head, end, rest = piece.partition(b"\r\n\r\n")
    return OFFER.sub(rb"\1x-upgrade", head) + end + rest
