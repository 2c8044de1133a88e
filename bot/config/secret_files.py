"""Secrets in files: ``ADMIN_TOKEN_FILE=/run/secrets/admin_token`` stands for the ``ADMIN_TOKEN`` in that file.

An environment is inherited by every child and shown by ``docker inspect``; a file need not be.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource

from tempogram.engine.model.errors import SettingsError

SUFFIX = "_file"

BYTES_MAX = 1 << 20
"""20,000 bot tokens; a device or a log is longer."""


def secrets_of(settings: type[BaseSettings]) -> list[str]:
    """Return the settings that may stand in a file: those that no ``repr`` shows."""
    return [name for name, field in settings.model_fields.items() if not field.repr]


class SecretFiles(PydanticBaseSettingsSource):
    """Reads each secret whose file is named.

    Args:
        given: The environment and ``.env``, where files are named.
    """

    def __init__(self, settings: type[BaseSettings], given: tuple[EnvSettingsSource, ...]) -> None:
        super().__init__(settings)
        self._given = given

    def __call__(self) -> dict[str, Any]:
        """Return the secrets, but for those that a keyword gives.

        Raises:
            SettingsError: A file cannot be read, or its secret is set besides. Neither is quoted: a secret may stand
                where its file should.
        """
        wanted = (name for name in secrets_of(self.settings_cls) if name not in self.current_state)
        return {name: self._read(name, path) for name in wanted if (path := self._named(name + SUFFIX))}

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002 - the base's
        """See ``PydanticBaseSettingsSource``; ``__call__`` does not ask for it."""
        return None, field_name, False

    def _named(self, variable: str) -> str | None:
        return next((value for source in self._given if (value := source.env_vars.get(variable))), None)

    def _read(self, name: str, path: str) -> str:
        variable = (name + SUFFIX).upper()
        if self._named(name):
            raise SettingsError(f"{name.upper()} and {variable} are both set; set one of them")
        try:
            with Path(path).open("rb") as file:
                content = file.read(BYTES_MAX + 1)
        except (OSError, ValueError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or "not a path"
            raise SettingsError(f"{variable} names a file that cannot be read ({reason})") from None
        return _text(variable, content)


def _text(variable: str, content: bytes) -> str:
    """Return the secret without the newline that editors and ``echo`` put after it."""
    if len(content) > BYTES_MAX:
        raise SettingsError(f"{variable} names a file of more than {BYTES_MAX:,} bytes, which is no secret")
    try:
        text = content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise SettingsError(f"{variable} names a file that is not text in UTF-8") from None
    if not text:
        raise SettingsError(f"{variable} names an empty file; write the secret into it, or unset {variable}")
    return text
