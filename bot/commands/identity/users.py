"""``tempogram users``: adds, lists, disables and lets in users, over the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tempogram.bot.commands.options import AsJson, Url, given
from tempogram.bot.commands.output import api, read_secret, show
from tempogram.engine.model.errors import SettingsError

if TYPE_CHECKING:
    from rich.table import Table

    from tempogram.bot.commands.client import Client

app = typer.Typer(help="Add, list and disable users of the API, over the API.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A user's name.", show_default=False)]
Role = Annotated[str, typer.Option(help="viewer, operator or admin.")]
WithPassword = Annotated[bool, typer.Option("--password", help="Ask for a password, or read a line of standard input.")]


@app.command()
def add(
    name: Name,
    role: Role = "viewer",
    url: Url = None,
    password: WithPassword = False,  # noqa: FBT002 - typer's way to say a flag
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Add a user. Without a password it is let in by its tokens, or by a link."""
    wanted = given({"name": name, "role": role, "password": read_secret("Password") if password else None})
    show(api(url).post("/users", wanted), as_json, lambda user: f"User {user['name']} is added, as {user['role']}.")


@app.command("list")
def list_users(url: Url = None, as_json: AsJson = False) -> None:  # noqa: FBT002
    """List every user."""
    show(api(url).get("/users"), as_json, _users_table)


@app.command()
def disable(name: Name, url: Url = None, as_json: AsJson = False) -> None:  # noqa: FBT002
    """Let a user in no more, in every process within 2 s. Its tokens stay, and work again once it is enabled."""
    _change(url, name, {"is_active": False}, "is let in no more", as_json=as_json)


@app.command()
def enable(name: Name, url: Url = None, as_json: AsJson = False) -> None:  # noqa: FBT002
    """Let a user in again that was disabled."""
    _change(url, name, {"is_active": True}, "is let in again", as_json=as_json)


@app.command()
def role(
    name: Name,
    role: Annotated[str, typer.Argument(help="viewer, operator or admin.", show_default=False)],
    url: Url = None,
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Give a user another role; it holds for its tokens, too."""
    _change(url, name, {"role": role}, f"has the role {role}", as_json=as_json)


@app.command()
def password(name: Name, url: Url = None, as_json: AsJson = False) -> None:  # noqa: FBT002
    """Set a user's password: it is asked for, or read from a line of standard input."""
    _change(url, name, {"password": read_secret(f"Password of {name}")}, "has a new password", as_json=as_json)


@app.command()
def link(name: Name, url: Url = None, as_json: AsJson = False) -> None:  # noqa: FBT002
    """Make a link with which a user logs in once, within a day. It is shown once."""
    made = api(url)
    answer = made.post(f"/users/{id_of(made, name)}/link", {})
    show(answer, as_json, lambda answer: f"{made.url}/login?link={answer['link']}")


@app.command("log-out")
def log_out(name: Name, url: Url = None, as_json: AsJson = False) -> None:  # noqa: FBT002
    """End all sessions of a user. Its tokens stay."""
    made = api(url)
    answer = made.delete(f"/users/{id_of(made, name)}/sessions")
    show(answer, as_json, lambda answer: f"Sessions of {name} that were ended: {answer['ended']}.")


@app.command()
def remove(name: Name, url: Url = None, as_json: AsJson = False) -> None:  # noqa: FBT002
    """Remove a user with all its tokens."""
    made = api(url)
    show(made.delete(f"/users/{id_of(made, name)}"), as_json, lambda _: f"User {name} is removed.")


def _change(url: str | None, name: str, changes: dict[str, Any], outcome: str, *, as_json: bool) -> None:
    made = api(url)
    changed = made.patch(f"/users/{id_of(made, name)}", changes)
    show(changed, as_json, lambda user: f"User {user['name']} {outcome}.")


def id_of(made: Client, name: str) -> str:
    """Return the id of a user.

    Raises:
        SettingsError: There is none of this name.
    """
    for each in made.get("/users")["users"]:
        if each["name"].casefold() == name.casefold():
            return str(each["id"])
    raise SettingsError(f"there is no user {name!r}; tempogram users list shows all")


def _users_table(answer: dict[str, Any]) -> Table | str:
    from rich.table import Table

    if not answer["users"]:
        return "There are no users; tempogram users add makes one."
    table = Table("name", "role", "let in", "password", "id")
    for each in answer["users"]:
        flags = ("yes" if each[name] else "no" for name in ("is_active", "has_password"))
        table.add_row(each["name"], each["role"], *flags, each["id"])
    return table
