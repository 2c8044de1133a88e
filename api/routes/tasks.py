"""Lists tasks, changes and runs them, and forgets those that there are no more."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Response
from fastapi.responses import JSONResponse

from tempogram.api.core.dependencies import DependenciesOf
from tempogram.api.core.errors import Invalid, Malformed, NotFound, TooLarge, error_responses
from tempogram.api.core.ports import Refusal
from tempogram.api.schemas.tasks import TaskChange, TaskHistoryOut, TaskOut, TasksOut
from tempogram.api.security.auth import GuardedRoute, requires
from tempogram.api.security.principals import Role
from tempogram.api.usecases import tasks
from tempogram.engine.model.errors import LedgerError
from tempogram.engine.scheduler.board import TaskConflict

router = APIRouter(tags=["tasks"], route_class=GuardedRoute)

Name = Annotated[str, Path(max_length=64, examples=["twitterPoller"])]

SEEN = (NotFound, Invalid, LedgerError)


@router.get(
    "/tasks", dependencies=[requires(Role.VIEWER)], response_model=TasksOut, responses=error_responses(LedgerError)
)
async def show_all(dependencies: DependenciesOf) -> Response:
    """List every task, with when it runs next and how its last run went."""
    return JSONResponse(await tasks.show_all(dependencies))


@router.get(
    "/tasks/{name}",
    dependencies=[requires(Role.VIEWER)],
    response_model=TaskHistoryOut,
    responses=error_responses(*SEEN),
)
async def show(name: Name, dependencies: DependenciesOf) -> Response:
    """Show one task with its last 100 runs."""
    return JSONResponse(await tasks.show(dependencies, name))


@router.patch(
    "/tasks/{name}",
    dependencies=[requires(Role.OPERATOR)],
    response_model=TaskOut,
    responses=error_responses(Malformed, Refusal, TooLarge, TaskConflict, *SEEN),
)
async def change(name: Name, wanted: TaskChange, dependencies: DependenciesOf) -> Response:
    """Change a task's interval, pause it or let it run again, in all processes. What is left out stays."""
    return JSONResponse(await tasks.change(dependencies, name, wanted))


@router.post(
    "/tasks/{name}/run",
    status_code=202,
    dependencies=[requires(Role.OPERATOR)],
    response_model=TaskOut,
    responses=error_responses(TaskConflict, *SEEN),
)
async def run(name: Name, dependencies: DependenciesOf) -> Response:
    """Run a task once more, within some seconds; also one that is paused. Its times stay as they are."""
    return JSONResponse(await tasks.run(dependencies, name), status_code=202)


@router.delete(
    "/tasks/{name}",
    dependencies=[requires(Role.OPERATOR)],
    response_model=TaskOut,
    responses=error_responses(TaskConflict, *SEEN),
)
async def forget(name: Name, dependencies: DependenciesOf) -> Response:
    """Delete a task that is declared no more, with its history; show what it was."""
    return JSONResponse(await tasks.forget(dependencies, name))
