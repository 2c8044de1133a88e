"""Options that several commands have, and their values as the API takes them."""

from __future__ import annotations

from typing import Annotated, Any

import typer

Url = Annotated[str | None, typer.Option(help="Address of the API; by default HOST and PORT.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the API's JSON, and nothing else.")]


def read_quiet_hours(text: str, *, other: str = "") -> dict[str, str]:
    """Return quiet hours as the API takes them.

    >>> read_quiet_hours("22:00-08:00")
    {'from': '22:00', 'until': '08:00'}

    Args:
        text: As a person writes them.
        other: A word that is no time and is allowed as well.
    """
    start, dash, end = text.partition("-")
    if not dash:
        way_out = f"write them as in 22:00-08:00{other and f', or {other}'}"
        raise typer.BadParameter(f"{text!r} are no quiet hours; {way_out}")
    return {"from": start.strip(), "until": end.strip()}


def given(options: dict[str, Any]) -> dict[str, Any]:
    """Return what was given.

    >>> given({"at": None, "text": "x", "tags": []})
    {'text': 'x'}
    """
    return {name: value for name, value in options.items() if value is not None and value != []}
