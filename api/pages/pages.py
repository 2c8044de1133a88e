"""Turns templates into pages, and says what a browser may load for them."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from starlette.responses import HTMLResponse

PLAIN = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

VIEWER = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""For Swagger UI, whose icons stand in its styles."""


def page(template: str, *, status: int = 200, policy: str = PLAIN, **values: Any) -> HTMLResponse:
    """Return a page. What is put into a template is escaped."""
    text = _environment().get_template(template).render(values)
    return HTMLResponse(text, status_code=status, headers={"Content-Security-Policy": policy})


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("tempogram.api.pages"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
