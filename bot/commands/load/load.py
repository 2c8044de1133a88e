"""``tempogram load``: makes many requests of a program, and says whether what must hold held."""

from __future__ import annotations

from typing import Annotated

import typer

INTERRUPTED = 130


def load(
    endpoint: Annotated[str, typer.Option(help="Path of what is called, such as /api/calls.", show_default=False)],
    url: Annotated[str | None, typer.Option(help="Address of the program; by default HOST and PORT.")] = None,
    method: Annotated[str, typer.Option(help="Method of each request.")] = "GET",
    body: Annotated[str, typer.Option(help="Body of each request; @FILE takes that of a file.")] = "",
    header: Annotated[list[str] | None, typer.Option(metavar="'NAME: VALUE'", help="Repeatable; not printed.")] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(min=1, max=10_000, help="Requests at once; 20, with --rate 10,000.", show_default=False),
    ] = None,
    requests: Annotated[
        int | None, typer.Option(min=1, help="How many; 100 without --duration.", show_default=False)
    ] = None,
    duration: Annotated[float | None, typer.Option(min=0.001, help="Seconds in which requests begin.")] = None,
    rate: Annotated[
        float | None, typer.Option(min=0.001, help="Requests that begin each second, whatever the answers do.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.001, help="Seconds of one request.")] = 30,
    limit: Annotated[int | None, typer.Option(min=1, max=1_000_000, help="Answers but 429s in any window.")] = None,
    window: Annotated[float, typer.Option(min=0.001, help="Seconds of --limit.")] = 1,
    p99_max: Annotated[float | None, typer.Option(min=0, help="Milliseconds that p99 may have.")] = None,
    errors_max: Annotated[str, typer.Option(help="Errors that may be: a number, or a share as in 0.5%.")] = "0",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")] = False,  # noqa: FBT002
) -> None:
    """Make many requests of a program; status 1 if a limit, the latency or the number of errors did not hold.

    An error is a request without an answer, or with a status from 400 that is not 429.
    """
    import json

    from tempogram.bot.commands.load import plan as plans
    from tempogram.bot.commands.load.runner import run
    from tempogram.bot.commands.load.shown import as_json as figures
    from tempogram.bot.commands.load.shown import checks, in_words
    from tempogram.bot.commands.roles import until_done

    content = plans.body_of(body)
    at_once = plans.AT_ONCE_CLOSED if rate is None else plans.AT_ONCE_OPEN
    plan = plans.Plan(
        method=method.upper(),
        url=plans.address(url or _own_url(), endpoint),
        headers=plans.headers_of(header or [], content),
        body=content,
        concurrency=concurrency or at_once,
        requests=requests or (plans.REQUESTS if duration is None else None),
        duration_s=duration,
        rate=rate,
        timeout_s=timeout,
    )
    allowed, is_share = plans.errors_of(errors_max)
    bounds = plans.Bounds(limit=limit, window_s=window, p99_max_ms=p99_max, errors_max=allowed, errors_share=is_share)
    if not as_json:
        typer.echo(f"{plan}\n")
    seen = until_done(run(plan, bounds))
    typer.echo(json.dumps(figures(plan, seen)) if as_json else in_words(seen))
    if seen.is_interrupted:
        raise typer.Exit(INTERRUPTED)
    raise typer.Exit(0 if all(each.held for each in checks(seen)) else 1)


def _own_url() -> str:
    from tempogram.bot.config.settings import load as load_settings
    from tempogram.bot.config.settings import url_of

    settings = load_settings()
    return url_of(settings.host, settings.port)
