"""The variables that are no settings of ours: those of services and tasks have names that their declarations choose."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic_settings import DotEnvSettingsSource, EnvSettingsSource

from tempogram.bot.config.settings import Settings


def variables() -> Mapping[str, str]:
    """Return the variables of ``.env`` and of the environment, which win, in upper case."""
    sources = DotEnvSettingsSource(Settings), EnvSettingsSource(Settings)
    return {name.upper(): value for source in sources for name, value in source.env_vars.items() if value is not None}
