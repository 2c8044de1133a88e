"""An HTTP client of the API, for the command line."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from tempogram.bot.config.data_dir import SIMULATED, noted_simulator
from tempogram.bot.config.settings import Settings, url_of
from tempogram.engine.model.errors import EngineError, SettingsError

TIMEOUT_S = 60
"""A replay of many dead letters takes long."""

IDS_PER_CALL = 200
"""Some 6 KB of URL; a server reads 64."""

Params = Sequence[tuple[str, str]]


class CallFailed(EngineError):
    """The API could not be reached, or refused."""


class NotNow(CallFailed):
    """There was no answer, or a 503: the same again may succeed."""


class Client:
    """Makes calls, one after the other."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"}

    @property
    def url(self) -> str:
        """Where the API is, without a slash at the end."""
        return self._url

    def get(self, path: str, params: Params = ()) -> Any:
        return asyncio.run(self._call("GET", path, params=list(params)))

    def post(self, path: str, body: object) -> Any:
        return asyncio.run(self._call("POST", path, json=body))

    def send(self, path: str, body: bytes, content_type: str) -> Any:
        return asyncio.run(self._call("POST", path, data=body, headers={"Content-Type": content_type}))

    def form(self, path: str, fields: Mapping[str, str], files: Mapping[str, Path]) -> Any:
        """Send files with fields, read from the disk as they are sent."""
        with ExitStack() as stack:
            form = aiohttp.FormData(fields)
            for name, file in files.items():
                form.add_field(name, stack.enter_context(file.open("rb")), filename=file.name)
            return asyncio.run(self._call("POST", path, data=form))

    def put(self, path: str, body: object) -> Any:
        return asyncio.run(self._call("PUT", path, json=body))

    def patch(self, path: str, body: object) -> Any:
        return asyncio.run(self._call("PATCH", path, json=body))

    def delete(self, path: str, params: Params = ()) -> Any:
        return asyncio.run(self._call("DELETE", path, params=list(params)))

    def download(self, path: str, write: Callable[[bytes], object]) -> None:
        """Get a body of any length, and hand it over as it arrives."""
        asyncio.run(self._download(path, write))

    async def _download(self, path: str, write: Callable[[bytes], object]) -> None:
        timeout = aiohttp.ClientTimeout(sock_read=TIMEOUT_S)
        try:
            async with (
                aiohttp.ClientSession(self._url, headers=self._headers, timeout=timeout) as session,
                session.get(path, allow_redirects=False) as response,
            ):
                if response.status != 200:
                    self._answer(response.status, await response.read())
                async for part in response.content.iter_any():
                    write(part)
        except (TimeoutError, aiohttp.ClientError) as error:
            raise NotNow(f"the answer of {self._url} was cut off ({type(error).__name__}); try again") from error

    async def _call(self, method: str, path: str, **request: Any) -> Any:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        try:
            async with (
                aiohttp.ClientSession(headers=self._headers, timeout=timeout) as session,
                session.request(method, self._url + path, allow_redirects=False, **request) as response,
            ):
                return self._answer(response.status, await response.read())
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise NotNow(
                f"nothing answers at {self._url} ({type(error).__name__}); start tempogram run, "
                "or give its address with --url"
            ) from error

    def _answer(self, status: int, body: bytes) -> Any:
        try:
            answer = msgspec.json.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            answer = None
        if status == 401:
            raise CallFailed(f"{self._url} refused this token; set ADMIN_TOKEN to the one that it was started with")
        if answer is None or status >= 300:
            kind = NotNow if status == 503 else CallFailed
            raise kind(f"{self._url} refused: {_sentence(answer) or f'HTTP {status}'}")
        return answer


def client(url: str | None, settings: Settings) -> Client:
    """Return a client of the program that these settings start, or of the one at ``url``.

    Raises:
        SettingsError: There is no token, or the file of the admin token cannot be read.
    """
    return Client(url or url_of(settings.host, settings.port), _token(settings))


def _token(settings: Settings) -> str:
    """Return the strongest token that there is."""
    for given in (settings.admin_token, settings.operator_token):
        if token := given.get_secret_value():
            return token
    path, viewer_token = _token_file(settings), settings.viewer_token.get_secret_value()
    return viewer_token if viewer_token and not path.exists() else _read(path)


def _token_file(settings: Settings) -> Path:
    """Return where the program of these settings keeps its token; with simulated bots, in a folder of its own."""
    own = settings.data_dir / "admin_token"
    may_be_simulated = noted_simulator(settings) is not None or not own.exists()
    return settings.data_dir / SIMULATED / "admin_token" if may_be_simulated and not settings.bot_tokens else own


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise SettingsError(
            f"ADMIN_TOKEN is not set, and {path} cannot be read ({reason}); set it to the token of the API"
        ) from None


def _sentence(answer: object) -> str:
    match answer:
        case {"error": {"message": str(message)}}:
            return message
        case _:
            return ""
