"""The pages: log-in, and the description of the API for people."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import SecretStr

from tempogram.api.core.dependencies import DependenciesOf
from tempogram.api.core.errors import ApiError, NotAuthenticated, NotFound, TooManyWrongTokens, format_of
from tempogram.api.pages.files import FILES, content_of, version_of
from tempogram.api.pages.pages import VIEWER, page
from tempogram.api.routes.access.sessions import let_in, set_cookies
from tempogram.api.schemas.access.sessions import LINK_CHARACTERS_MAX, NAME_CHARACTERS_MAX
from tempogram.api.security.auth import StrictRoute
from tempogram.api.security.browsers import end_session, refuse_cross_site
from tempogram.api.security.requests import principal_of
from tempogram.api.usecases.access import log_in
from tempogram.engine.model.errors import EngineError
from tempogram.storage.identity.passwords import CHARACTERS_MAX

LOG_IN, LOG_OUT, DOCS = "/login", "/logout", "/docs"

HERE = re.compile(r"/(?![/\\])[!-\[\]-~]{0,500}")
"""A path on this host: a browser takes ``//`` and ``/\\`` for another one."""

FIELDS_MAX = 10
FIELD_CHARACTERS_MAX = {
    "name": NAME_CHARACTERS_MAX,
    "password": CHARACTERS_MAX,
    "link": LINK_CHARACTERS_MAX,
    "next": 501,
}

KEPT = "public, max-age=31536000, immutable"

router = APIRouter(route_class=StrictRoute, include_in_schema=False)

Text = Annotated[str, Query(max_length=1_000)]


@router.get(LOG_IN)
async def log_in_page(link: Text = "", next: Text = "") -> HTMLResponse:  # noqa: A002 - as it is in the address
    """Show the form. A link is used up by the button, not by being looked at: mail programs look at links."""
    return _form(link=link, onward=next)


@router.post(LOG_IN)
async def begin(request: Request, dependencies: DependenciesOf) -> Response:
    """Log in by the form, and go where the person wanted to go."""
    fields = await _fields(request)
    link, onward = fields.get("link", ""), fields.get("next", "")
    if fault := _too_long(fields):
        return _form(link="", onward=onward, status=422, said=fault)
    try:
        logged_in = await let_in(
            request,
            dependencies,
            name=fields.get("name", ""),
            password=SecretStr(fields["password"]) if fields.get("password") else None,
            link=SecretStr(link) if link else None,
        )
    except (ApiError, EngineError) as error:
        format_ = format_of(error)
        answer = _form(link=link, onward=onward, status=format_.status, said=format_.message or str(error))
        answer.headers.update({**format_.headers, **getattr(error, "headers", {})})
        return answer
    response = RedirectResponse(_here(onward), status_code=303)
    set_cookies(request, response, logged_in)
    return response


@router.post(LOG_OUT)
async def log_out(request: Request, dependencies: DependenciesOf) -> Response:
    """Log out, and show the form again."""
    refuse_cross_site(request.headers, is_sure=True)
    response = RedirectResponse(LOG_IN, status_code=303)
    try:
        principal = await principal_of(request, dependencies)
    except (NotAuthenticated, TooManyWrongTokens):
        principal = None
    if principal is not None and principal.session_id is not None:
        await log_in.log_out(dependencies, principal)
    end_session(request, response)
    return response


@router.get(DOCS)
async def docs(request: Request, dependencies: DependenciesOf) -> Response:
    """Show the description of the API to who is logged in."""
    try:
        principal = await principal_of(request, dependencies)
    except NotAuthenticated:
        return RedirectResponse(f"{LOG_IN}?{urlencode({'next': DOCS})}", status_code=303)
    return page("docs.html", policy=VIEWER, name=principal.name, versions=_versions())


@router.get("/assets/{version}/{name}")
async def asset(version: str, name: str) -> Response:
    """Return a file of the pages."""
    if name not in FILES or version != version_of(name):
        raise NotFound("there is no such file")
    return Response(content_of(name), media_type=FILES[name][2], headers={"Cache-Control": KEPT})


def _form(*, link: str, onward: str, status: int = 200, said: str = "") -> HTMLResponse:
    return page("login.html", status=status, link=link, onward=onward, said=said, versions=_versions())


async def _fields(request: Request) -> dict[str, str]:
    try:
        return dict(parse_qsl((await request.body()).decode(), keep_blank_values=True, max_num_fields=FIELDS_MAX))
    except ValueError:
        return {}


def _too_long(fields: dict[str, str]) -> str | None:
    for name, characters_max in FIELD_CHARACTERS_MAX.items():
        if len(fields.get(name, "")) > characters_max:
            return f"the {name} has more than {characters_max} characters"
    return None


def _here(onward: str) -> str:
    return onward if HERE.fullmatch(onward) else DOCS


def _versions() -> dict[str, str]:
    return {name: version_of(name) for name in FILES}
