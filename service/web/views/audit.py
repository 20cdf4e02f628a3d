"""The audit log, by action, and as a file."""

import csv
import io
from typing import Annotated, Literal, get_args

from fastapi import Query, Request, Response

from ...api.routes import audit as routes
from ...api.routes.shared import PAGE, Before, TheService, Viewer
from ...control.audit import MAX_PAGE, Action
from ..frame import framed
from ..route import router_of
from ..templating import page

router = router_of()

_Chosen = Annotated[Action | Literal[""], Query()]
_COLUMNS = ("id", "at", "action", "user_id", "user_name", "ip", "workstation", "job_id", "archive", "details")
#: With these a spreadsheet takes a text for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@router.get("/audit")
async def audit(
    request: Request, service: TheService, caller: Viewer, before: Before = None, action: _Chosen = ""
) -> Response:
    """Who did what, newest first. A list's "all" is an empty text."""
    found = await routes.list_audit(service, caller, PAGE, before, action or None)
    frame = await framed(request, service, caller, "history", view="audit")
    return page("audit.html", request, frame=frame, found=found, chosen=action, all_actions=get_args(Action))


@router.get("/audit.csv")
async def as_csv(service: TheService, caller: Viewer, before: Before = None, action: _Chosen = "") -> Response:
    """The newest entries as a file, 1,000 at most; ``before`` gives those behind them."""
    found = await routes.list_audit(service, caller, MAX_PAGE, before, action or None)
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(_COLUMNS)
    for entry in found.entries:
        writer.writerow([_cell(getattr(entry, name)) for name in _COLUMNS])
    headers = {"Content-Disposition": 'attachment; filename="audit.csv"', "Cache-Control": "no-store"}
    return Response(file.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
