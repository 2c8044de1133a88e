"""Receivers of alerts on loopback: they answer as a test says, and keep what they have accepted."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from hashlib import sha256
from typing import Any

from aiohttp import web


class WebhookReceiver:
    """A server of webhooks.

    Args:
        answers: Statuses, one for each request; then 200. 0: it never answers.
        key: With which requests must be signed; None: they need not be.
    """

    def __init__(self, *answers: int, key: bytes | None = None, retry_after: str | None = None) -> None:
        self.answers = list(answers)
        self._key = key
        self._retry_after = retry_after
        self.url = ""
        self.tried = 0
        self.accepted: list[tuple[str, Any]] = []

    async def _take(self, request: web.Request) -> web.Response:
        self.tried += 1
        body = await request.read()
        status = self.answers.pop(0) if self.answers else 200
        if not status:
            await asyncio.sleep(3_600)
        if self._key is not None and not is_signed(self._key, request.headers, body):
            status = 401
        if status == 200:
            self.accepted.append((request.headers.get("webhook-id", ""), await request.json()))
        headers = {"Retry-After": self._retry_after} if self._retry_after and status >= 400 else {}
        return web.Response(status=status, headers=headers, text="ok")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[WebhookReceiver]:
        app = web.Application()
        app.router.add_post("/hook/secret-of-the-address", self._take)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}/hook/secret-of-the-address"
        try:
            yield self
        finally:
            await runner.cleanup()


def is_signed(key: bytes, headers: Any, body: bytes) -> bool:
    """Check a signature as a receiver does, by the specification and not by our code."""
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    wanted = "v1," + base64.b64encode(hmac.new(key, signed, sha256).digest()).decode()
    return wanted in headers["webhook-signature"].split(" ")


class MailReceiver:
    """A mail server that speaks as much SMTP as is needed.

    Args:
        answers: What it says to each mail at its end; then ``250 ok``. Empty: it never answers.
        refuses: What it says to each receiver; empty: it takes it.
        login: User and password that it wants; None: none.
        tls: With which it offers STARTTLS; None: it does not.
    """

    def __init__(
        self,
        *answers: str,
        refuses: str = "",
        login: tuple[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        farewell: str = "221 bye",
    ) -> None:
        self.answers = list(answers)
        self._refuses = refuses
        self._login = login
        self._tls = tls
        self._farewell = farewell
        self.port = 0
        self.tried = 0
        self.accepted: list[EmailMessage] = []
        self.receivers: list[str] = []
        self.logins: list[tuple[str, str]] = []
        self._tasks: set[asyncio.Task[Any]] = set()

    async def _speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await self._serve(reader, writer)
        writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        say: Callable[[str], None] = lambda line: writer.write(line.encode() + b"\r\n")  # noqa: E731
        is_known, is_encrypted = self._login is None, False
        say("220 here")
        while line := (await reader.readline()).decode().strip():
            verb, _, rest = line.partition(" ")
            match verb.upper():
                case "EHLO":
                    say("250-here")  # clients skip the first line
                    offers = ["AUTH PLAIN"] if self._login else []
                    offers += ["STARTTLS"] if self._tls and not is_encrypted else []
                    for offer in offers:
                        say(f"250-{offer}")
                    say("250 ok")
                case "STARTTLS":
                    say("220 go on")
                    await writer.drain()
                    assert self._tls is not None
                    await writer.start_tls(self._tls)
                    is_encrypted = True
                case "AUTH":
                    _, user, password = base64.b64decode(rest.partition(" ")[2]).decode().split("\0")
                    self.logins.append((user, password))
                    is_known = (user, password) == self._login
                    say("235 ok" if is_known else "535 wrong password: " + password)
                case "MAIL":
                    say("250 ok" if is_known else "530 log in first")
                case "RCPT":
                    self.receivers.append(rest.partition(":")[2].strip("<>"))
                    say(self._refuses or "250 ok")
                case "DATA":
                    say("354 go on")
                    await self._take(await reader.readuntil(b"\r\n.\r\n"), say)
                case "QUIT":
                    say(self._farewell)
                    return
                case _:
                    say("250 ok")

    async def _take(self, mail: bytes, say: Callable[[str], None]) -> None:
        self.tried += 1
        answer = self.answers.pop(0) if self.answers else "250 ok"
        if not answer:
            await asyncio.sleep(3_600)
        if answer.startswith("250"):
            read = message_from_bytes(mail.removesuffix(b".\r\n"), policy=policy.default)
            assert isinstance(read, EmailMessage)
            self.accepted.append(read)
        say(answer)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[MailReceiver]:
        server = await asyncio.start_server(self._speak, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
