"""``tempogram bots``: what an operator does to a single bot, over the API."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tempogram.bot.commands.options import AsJson, Url
from tempogram.bot.commands.output import api, show

app = typer.Typer(help="Show or replace what a bot has, over the API.", no_args_is_help=True)


@app.callback()
def bots() -> None:
    """Show or replace what a bot has, over the API."""


@app.command("webhook-secret")
def webhook_secret(
    bot_id: Annotated[int, typer.Argument(metavar="BOT_ID", help="A bot's id.", show_default=False)],
    rotate: Annotated[bool, typer.Option("--rotate", help="Replace it, here and at Telegram.")] = False,  # noqa: FBT002
    url: Url = None,
    as_json: AsJson = False,  # noqa: FBT002 - typer's way to say a flag
) -> None:
    """Show the secret with which Telegram delivers a bot's updates, or replace it; each look is logged."""
    path = f"/bots/{bot_id}/webhook-secret"
    if rotate:
        show(api(url).post(path, {}), as_json, _replaced)
    else:
        show(api(url).get(path), as_json, lambda answer: str(answer["secret"]))


def _replaced(bot: dict[str, Any]) -> str:
    return (
        f"Bot {bot['id']} has another webhook secret. The former one is accepted until Telegram has the new one, "
        "and for a minute more."
    )
