"""Makes pages of templates. Everything that is put in is escaped."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import jinja2
from fastapi.responses import HTMLResponse

from ...pipeline.reports.words import slowed_down
from ..api.identity.address import base_path
from . import words

if TYPE_CHECKING:
    from fastapi import Request

    from ..api.login.people import Login

#: No script, style or picture but our own files, and no request that leaves the origin.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


#: Systems that are listed to choose from; of more the name is typed.
_MOST_IN_A_LIST = 100

#: htmx's status for: there is nothing more to ask for.
ENDED = 286


@cache
def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in (
        "size",
        "number",
        "duration",
        "ago",
        "phase",
        "cancelling",
        "can_be_cancelled",
        "state",
        "done",
        "load",
        "steps",
    ):
        made.filters[name] = getattr(words, name)
    made.filters["slowed_down"] = slowed_down
    made.globals.update(icons=words.ICONS, kinds=words.KINDS, types=words.TYPES, actions=words.ACTIONS, utc=words.utc)
    made.globals.update(most_in_a_list=_MOST_IN_A_LIST)
    return made


def here(request: Request) -> str:
    """What the addresses of the views of a target begin with."""
    name = request.path_params.get("target")
    return f"{base_path(request)}/targets/{quote(name, safe='')}" if name else base_path(request)


def _policy(request: Request) -> str:
    """Logging out leads on to the provider, which a form of ours must be allowed to do."""
    public: Login | None = request.app.state.login
    return POLICY if public is None else POLICY.replace("form-action 'self'", f"form-action 'self' {public.origin}")


def by_htmx(request: Request) -> bool:
    """Whether the script asks, for a part of a page."""
    return request.headers.get("hx-request") == "true"


def render(name: str, request: Request, **context: Any) -> str:
    """The text of a template."""
    return (
        _environment()
        .get_template(name)
        .render(base=base_path(request), here=here(request), request=request, **context)
    )


def page(name: str, request: Request, status: int = 200, **context: Any) -> HTMLResponse:
    """The answer with a template."""
    # A browser without Sec-Fetch-Site says from where a form comes only if pages may say that to their own origin.
    headers = {"Content-Security-Policy": _policy(request), "Referrer-Policy": "same-origin"}
    if (problem := context.get("problem")) is not None:  # when to ask again, for one
        headers |= problem.headers
    return HTMLResponse(render(name, request, **context), status, headers=headers)
