"""The files beside the pages: styles, and the viewer of the API's description. None is fetched from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from importlib.resources import files
from types import MappingProxyType

VIEWER = "fastapi_swagger.resources"
"""Swagger UI, as a package."""

FILES: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        "pages.css": ("tempogram.api.pages", "static/pages.css", "text/css"),
        "icon.svg": ("tempogram.api.pages", "static/icon.svg", "image/svg+xml"),
        "viewer.js": ("tempogram.api.pages", "static/viewer.js", "text/javascript"),
        "swagger-ui.css": (VIEWER, "swagger-ui.css", "text/css"),
        "swagger-ui-bundle.js": (VIEWER, "swagger-ui-bundle.js", "text/javascript"),
    }
)
"""By name: the package, the path in it, and the type."""


@cache
def content_of(name: str) -> bytes:
    """Return the content of a file; raises ``KeyError`` if there is none of this name."""
    package, path, _ = FILES[name]
    return files(package).joinpath(path).read_bytes()


@cache
def version_of(name: str) -> str:
    """Return what changes with the content, so that a browser may keep it."""
    return sha256(content_of(name)).hexdigest()[:16]
