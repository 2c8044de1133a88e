"""``tempogram simulator``: the bundled stand-ins, of Telegram and of any other service, by themselves."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(invoke_without_command=True)

FORMS = "none, retry-after, retry-after-date, retry-after-ms, ratelimit, github, x, openai or anthropic"

Port = Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")]
Host = Annotated[str, typer.Option(help="Address to listen on.")]


@app.callback()
def simulator(
    context: typer.Context,
    port: Port = 8081,
    host: Host = "127.0.0.1",
    setting: Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Any setting.")] = None,
) -> None:
    """Run the bundled Telegram simulator by itself."""
    if context.invoked_subcommand is not None:
        sources = map(context.get_parameter_source, context.params)
        if any(source is not None and source.name == "COMMANDLINE" for source in sources):
            raise typer.BadParameter("these options are of the simulated Telegram; write those of service behind it")
        return
    from tempogram.simulator.process import main as simulate

    chosen = [word for each in setting or [] for word in ("--set", each)]
    raise typer.Exit(simulate(["--host", host, "--port", str(port), *chosen]))


@app.command()
def service(
    port: Port = 8090,
    host: Host = "127.0.0.1",
    count: Annotated[int, typer.Option(help="Calls in any window; 0: any number.")] = 0,
    window_ms: Annotated[int, typer.Option(help="Milliseconds.")] = 1_000,
    concurrency: Annotated[int, typer.Option(help="Calls at once; 0: any number.")] = 0,
    apart_ms: Annotated[int, typer.Option(help="Milliseconds between two arrivals.")] = 0,
    tokens: Annotated[int, typer.Option(help="Tokens in any window; 0: any number.")] = 0,
    form: Annotated[str, typer.Option(help=f"Of what it says of its limits: {FORMS}.")] = "retry-after",
    takes_ms: Annotated[float, typer.Option(help="For an answer.")] = 0,
    failures: Annotated[float, typer.Option(help="Share of calls that are answered with 500.")] = 0,
) -> None:
    """Run a fake of any service with limits, which answers 429 to what is too much; see docs/services.md."""
    from tempogram.simulator.services.process import main as serve

    given = {
        "host": host,
        "port": port,
        "count": count,
        "window-ms": window_ms,
        "concurrency": concurrency,
        "apart-ms": apart_ms,
        "tokens": tokens,
        "form": form,
        "takes-ms": takes_ms,
        "failures": failures,
    }
    raise typer.Exit(serve([word for name, value in given.items() for word in (f"--{name}", str(value))]))
