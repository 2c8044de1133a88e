"""A generator over HTTP, for any server with OpenAI's chat completions.

Source: https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

import aiohttp
import msgspec
from pydantic import SecretStr

from tempogram.bot.generator.port import Conversation, NotWritten, Utterance, Written
from tempogram.bot.telegram.responses import UNREADABLE
from tempogram.engine.services.clients.http_requests import ReadAnswer
from tempogram.engine.services.clients.token_usage import total_tokens
from tempogram.engine.services.errors import ServiceError
from tempogram.engine.services.services import CallOptions, Services

PATH = "/chat/completions"

BODY_BYTES_MAX = 1 << 20
"""An answer of 4,096 characters and its metadata have some 30 KB."""

SERVICE, ANSWERS, REENGAGEMENT = "llm", "chat", "reengagement"
"""The service, and as which of its operations calls pass their limits; see ``engine.services``."""

TOKEN_BYTES = 4
"""About so many bytes of English are one token: https://platform.openai.com/docs/concepts. The answer corrects it."""

NO_TIMEOUT = aiohttp.ClientTimeout(total=None)
"""The call of the service has one; aiohttp's own of 5 minutes would come before a longer ``LLM_TIMEOUT``."""

ANSWER_TOKENS = 500
"""What an answer probably costs. untuned: it is corrected at once."""


class _Answered(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Answered


class _Completion(msgspec.Struct):
    choices: list[_Choice] = []


_decode = msgspec.json.Decoder(_Completion).decode


class ChatCompletions:
    """See ``TextGenerator``.

    Args:
        operation: As which its calls pass the limits of the service.
        priority: Of its calls among all of the service.
    """

    takes_time = True

    def __init__(
        self,
        *,
        session: aiohttp.ClientSession,
        services: Services,
        api_url: str,
        api_key: SecretStr,
        model: str,
        timeout_s: float,
        operation: str = ANSWERS,
        priority: str = "normal",
    ) -> None:
        self._session = session
        self._services = services
        self._url = api_url if api_url.endswith(PATH) else api_url + PATH
        self._api_key = api_key
        self._model = model
        self._timeout_s = timeout_s
        self._operation = operation
        self._priority = priority

    async def generate(self, conversation: Conversation) -> Written | NotWritten:
        body = msgspec.json.encode({"model": self._model, "messages": messages_of(conversation)})
        cost = len(body) // TOKEN_BYTES + ANSWER_TOKENS
        options = CallOptions(
            priority=self._priority,
            deadline_s=self._timeout_s,
            timeout_s=self._timeout_s,
            cost=cost,
            used=total_tokens,
            is_idempotent=True,
        )
        try:
            answer = await self._services.call_with(options, SERVICE, self._operation, self._ask, body)
        except TimeoutError:
            return NotWritten(f"no answer within {self._timeout_s:g} s")
        except ServiceError as error:
            return NotWritten(str(error))
        except (aiohttp.ClientError, OSError) as error:
            return NotWritten(type(error).__name__)
        return read(answer.body) if answer.status == 200 else NotWritten(f"HTTP {answer.status}")

    async def _ask(self, body: bytes) -> ReadAnswer:
        headers = {"Content-Type": "application/json"}
        if key := self._api_key.get_secret_value():
            headers["Authorization"] = f"Bearer {key}"
        # A redirect would carry the conversation to an address that is not configured.
        async with self._session.post(
            self._url, data=body, headers=headers, allow_redirects=False, timeout=NO_TIMEOUT
        ) as response:
            if response.status != 200:
                return ReadAnswer(response.status, response.headers)  # its body may quote the key
            return ReadAnswer(response.status, response.headers, await _bounded(response))


def messages_of(conversation: Conversation) -> list[dict[str, str]]:
    """Return a conversation as the server expects it; in a group each text starts with its speaker's name.

    >>> talk = (Utterance("hi", speaker="Anna"), Utterance("hello", by_bot=True), Utterance("how are you?"))
    >>> said = messages_of(Conversation(bot_id=1, update_id=1, system="Be brief.", templates=("…",), utterances=talk))
    >>> [(each["role"], each["content"]) for each in said]
    [('system', 'Be brief.'), ('user', 'Anna: hi'), ('assistant', 'hello'), ('user', 'how are you?')]
    """
    system = [{"role": "system", "content": conversation.system}] if conversation.system else []
    return system + [_message(utterance) for utterance in conversation.utterances]


def read(body: bytes) -> Written | NotWritten:
    """Return the text of the first choice.

    >>> read(b'{"choices": [{"message": {"role": "assistant", "content": " Hello! "}}]}')
    Written(text='Hello!')
    >>> read(b'{"choices": []}')
    NotWritten(reason='the answer has no text')
    """
    try:
        completion = _decode(body)
    except UNREADABLE:
        return NotWritten("the answer is not a chat completion")
    text = (completion.choices[0].message.content or "").strip() if completion.choices else ""
    return Written(text) if text else NotWritten("the answer has no text")


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    body = b""
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > BODY_BYTES_MAX:
            return b""
    return body


def _message(utterance: Utterance) -> dict[str, str]:
    if utterance.by_bot:
        return {"role": "assistant", "content": utterance.text}
    return {
        "role": "user",
        "content": f"{utterance.speaker}: {utterance.text}" if utterance.speaker else utterance.text,
    }
