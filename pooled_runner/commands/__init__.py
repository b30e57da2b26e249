# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The verbs."""

from __future__ import annotations

from pooled_runner.commands import advise, bench, draw, site, status
from pooled_runner.project import Document, Project
from pooled_runner.request import ADVISE, BENCH, REPORT, Refusal, Request

_VERBS = {
    "up": site.up,
    "down": site.down,
    "status": status.status,
    BENCH: bench.bench,
    ADVISE: advise.advise,
    REPORT: draw.draw,
}


def perform(request: Request, project: Project) -> tuple[Document, int]:
    """Carry out a request; return its document and the exit code. Raises Refusal if it can't."""
    if request.compare:
        return bench.compare(request, project)
    if request.target == "aws" and request.verb != REPORT:
        check_credentials()
    if request.must_be_confirmed and (stopped := site.confirm_removal(request, project)):
        return stopped
    if request.verb not in ("up", "down") and not (project.state(request.target) / "outputs.json").is_file():
        demo = "`make demo` or " if request.target == "lab" else ""
        error = f"no {request.target} is up: run {demo}`python runner.py up --target {request.target}`"
        if request.verb != "status":
            raise Refusal(error)
        return status.NO_STATUS | {"error": error}, 1
    with project.locked(request):
        return _VERBS[request.verb](request, project)


def check_credentials() -> None:
    """Check that botocore finds AWS credentials. Raises Refusal if it does not."""
    import botocore.exceptions  # noqa: PLC0415  (half a second that only this target needs)
    import botocore.session  # noqa: PLC0415

    cause = "no AWS credentials found"
    try:
        if botocore.session.get_session().get_credentials() is not None:
            return
    except botocore.exceptions.BotoCoreError as error:
        cause = f"no usable AWS credentials: {error}"
    advice = "run `aws configure` or `aws sso login`, or set AWS_PROFILE; `--target lab` needs no account"
    raise Refusal(f"{cause}: {advice}")
