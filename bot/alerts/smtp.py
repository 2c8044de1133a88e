"""How a mail server is reached. The settings need only its address, so the library is imported when it is used."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from tempogram.bot.config import urls
from tempogram.engine.model.errors import SettingsError

if TYPE_CHECKING:
    import smtplib

SCHEMES = ("smtp://", "smtps://")

ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+")
"""Of a mailbox. Source: https://html.spec.whatwg.org/multipage/input.html#e-mail-state-(type=email)"""

PORTS = {"smtp": 587, "smtps": 465}

STEP_S = 5.0
"""For each answer of the server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MailServer:
    """Where mail is handed in.

    Attributes:
        is_tls: Encrypted from the first byte; if not, STARTTLS is used where the server offers it.
        password: Given only over an encrypted connection, or to this machine itself.
    """

    host: str
    port: int
    is_tls: bool
    user: str = ""
    password: str = field(default="", repr=False)

    @property
    def is_here(self) -> bool:
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse(url: str) -> MailServer:
    """Read an address such as ``smtp://user:password@host:587``.

    Raises:
        SettingsError: It has another form; it is not quoted.
    """
    if fault := urls.fault_of(url, schemes=SCHEMES):
        raise SettingsError(f"{fault}, as in smtp://user:password@mail.example.org:587")
    parts = urlsplit(url)
    if bool(parts.username) != bool(parts.password):
        raise SettingsError("it has a user without a password, or a password without a user")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise SettingsError(f"nothing may stand after its port; {urls.IN_PASSWORDS}")
    return MailServer(
        host=parts.hostname or "",
        port=parts.port or PORTS[parts.scheme],
        is_tls=parts.scheme == "smtps",
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
    )


@contextmanager
def connected(server: MailServer) -> Iterator[smtplib.SMTP]:
    """Connect and log in; blocks, ``STEP_S`` for each step at most.

    Raises:
        OSError: The server cannot be reached, or refuses. (``smtplib``'s errors are such.)
    """
    import smtplib
    import ssl

    context = ssl.create_default_context()
    if server.is_tls:
        smtp: smtplib.SMTP = smtplib.SMTP_SSL(server.host, server.port, timeout=STEP_S, context=context)
    else:
        smtp = smtplib.SMTP(server.host, server.port, timeout=STEP_S)
    with smtp:
        smtp.ehlo()
        is_encrypted = server.is_tls
        if not is_encrypted and smtp.has_extn("starttls"):
            smtp.starttls(context=context)
            smtp.ehlo()
            is_encrypted = True
        if server.user:
            if not is_encrypted and not server.is_here:
                raise smtplib.SMTPNotSupportedError("it offers no STARTTLS, and a password is not sent in the clear")
            smtp.login(server.user, server.password)
        yield smtp
