# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files of a benchmark on the controller, below ``.state/<target>/benchmark``.

``current/`` holds the artefact of each run as soon as the run ends. The document is made from the artefacts,
at the end or after an interruption. Nothing here is secret; only the owner may read it nevertheless.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible.module_utils.common.yaml import yaml_load
from ansible_collections.pooled.postgres.plugins.module_utils._benchmark import (
    compare,
    plans,
    results,
    samples,
)
from ansible_collections.pooled.postgres.plugins.module_utils._benchmark.errors import (
    BenchmarkError,
    PlanError,
    ResultError,
)
from ansible_collections.pooled.postgres.plugins.module_utils._benchmark.report import pages

KEPT_RESULTS = 20
_POLL_SECONDS = 0.02


def read_plan(given: str) -> plans.Plan:
    """Return a built-in plan, or a custom one from a file with its scripts' contents. Raises PlanError."""
    if given in plans.BUILTIN:
        return plans.builtin(given)
    path = Path(given)
    if not path.is_file():
        known = ", ".join(plans.BUILTIN)
        raise PlanError(f"Failed to find the plan {given}: no such file. Give a file, or one of {known}.")
    try:
        given = yaml_load(path.read_text(encoding="utf-8"))
    except Exception as error:  # YAML raises classes of its own
        cause = " ".join(str(error).split())
        raise PlanError(f"Failed to read the plan {path}: {cause}. Correct the YAML.") from error
    plan = plans.custom(given, str(path))
    contents = {}
    for name in plans.own_scripts(plan):
        try:
            contents[name] = (path.parent / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise PlanError(
                f"Failed to read the script {name} of the plan {path}: {getattr(error, 'strerror', error)}."
                " Give tpcb-like, simple-update, select-only, or a file beside the plan."
            ) from error
    cases = [
        {**case, "content": contents[case["script"]]} if case["script"] in contents else case
        for case in plan["cases"]
    ]
    return {**plan, "cases": cases}


def begin(directory: Path, beginning: Mapping[str, Any], root: Path) -> None:
    """Start a benchmark of ``plan``, ``schedule`` and ``system``. Raises BenchmarkError."""
    commit, dirty = _commit(root)
    system = {**beginning["system"], "commit": commit, "dirty": dirty}
    current = directory / "current"
    try:
        shutil.rmtree(current, ignore_errors=True)
        (current / "runs").mkdir(mode=0o700, parents=True)
        _write(current / "begun.json", json.dumps({**beginning, "system": system, "started": time.time()}))
    except OSError as error:
        raise BenchmarkError(f"Failed to write the benchmark to {current}: {error.strerror}") from error


def _commit(root: Path) -> tuple[str | None, bool]:
    """Return the commit, None outside of a checkout, and whether files differ from it."""
    found = []
    for arguments in (["rev-parse", "HEAD"], ["status", "--porcelain"]):
        command = ["git", "-C", str(root), *arguments]
        try:
            git = subprocess.run(command, capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return None, False
        found.append(git.stdout.strip())
    return found[0], bool(found[1])


def keep(directory: Path, artefact: Mapping[str, Any]) -> None:
    """Write the artefact of a run on one load host. Raises BenchmarkError."""
    path = directory / "current" / "runs" / f"{artefact['number']:04}-{artefact['host']}.json"
    try:
        _write(path, json.dumps(artefact))
    except OSError as error:
        raise BenchmarkError(
            f"Failed to write the run to {path}: {error.strerror}. Check its free space."
        ) from error


def begun(directory: Path) -> dict[str, Any]:
    """Return ``plan``, ``schedule``, ``system`` and the time ``started``. Raises BenchmarkError."""
    path = directory / "current" / "begun.json"
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BenchmarkError(f"Failed to find a running benchmark in {path}: {error}") from error
    return found


def meet(directory: Path, number: int, host: str, hosts: Sequence[str], seconds: float) -> list[str]:
    """Wait until all load hosts are ready for a run, and return those that were not in time."""
    folder = directory / "current" / "start"
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / f"{number:04}-{host}").touch(mode=0o600)
    deadline = time.monotonic() + seconds
    missing = list(hosts)
    while missing and time.monotonic() < deadline:
        missing = [name for name in missing if not (folder / f"{number:04}-{name}").exists()]
        time.sleep(_POLL_SECONDS)
    return missing


def finish(
    directory: Path,
    rows: Sequence[samples.Row],
    *,
    complete: bool,
    boards: Callable[[Mapping[str, Any]], str] = lambda _document: "",
) -> dict[str, Any] | None:
    """Write the result of the runs in ``current/`` in all its forms, and return the document.

    Args:
        directory: of the target's benchmarks.
        rows: samples.
        complete: whether the whole plan ran.
        boards: returns dashboards of the same time for the page, see ``_report.api.section``.

    Returns:
        The document, or None if no run has ended; the last result then stays.

    Raises:
        BenchmarkError: a file cannot be read or written.
    """
    current = directory / "current"
    try:
        beginning = begun(directory)
        artefacts = [
            json.loads(path.read_text(encoding="utf-8")) for path in sorted((current / "runs").glob("*.json"))
        ]
    except (OSError, ValueError) as error:
        raise BenchmarkError(f"Failed to read the runs in {current}: {error}") from error
    versions = [one["details"]["pgbench_version"] for one in artefacts if "details" in one]
    beginning["system"]["pgbench"] = next(filter(None, versions), None)
    document = results.document(beginning, artefacts, rows, complete=complete)
    try:
        if document["runs"]:
            _write_raw(current / "raw", artefacts)
            shutil.rmtree(directory / "raw", ignore_errors=True)
            (current / "raw").rename(directory / "raw")
            written = json.dumps(document, indent=1) + "\n"
            _write(directory / "latest.json", written)
            _write(directory / "latest.txt", "\n".join(results.table(document)) + "\n")
            _write(directory / "latest.md", pages.markdown(document))
            _keep_result(directory / "results", document, written)
            _write(directory / "latest.html", pages.html(document, boards(document)))
        shutil.rmtree(current)
    except OSError as error:
        raise BenchmarkError(f"Failed to write the results to {directory}: {error.strerror}") from error
    return document if document["runs"] else None


def times(document: Mapping[str, Any]) -> tuple[float, float] | None:
    """Return the start of the first run and the end of the last, None if no run started."""
    found = [(run["start"], run["end"]) for run in document["runs"] if run["start"] and run["end"]]
    return (min(one[0] for one in found), max(one[1] for one in found)) if found else None


def write_comparison(directory: Path, comparison: Mapping[str, Any]) -> Path:
    """Write a comparison as a page and as Markdown, and return the page's path. Raises BenchmarkError."""
    path = directory / "comparison.html"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(path, pages.comparison_html(comparison))
        _write(directory / "comparison.md", pages.comparison_markdown(comparison))
    except OSError as error:
        raise BenchmarkError(f"Failed to write the comparison to {path}: {error.strerror}") from error
    return path


def _keep_result(folder: Path, document: Mapping[str, Any], written: str) -> None:
    """Write the document beside those of earlier benchmarks, for ``--compare``."""
    folder.mkdir(mode=0o700, exist_ok=True)
    when = document["system"]["time"].replace(":", "").replace("-", "")
    _write(folder / f"{when}-{document['plan']['name']}.json", written)
    for old in sorted(folder.iterdir())[:-KEPT_RESULTS]:
        old.unlink()


def _write_raw(folder: Path, artefacts: Sequence[Mapping[str, Any]]) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    by_number: dict[int, list[Mapping[str, Any]]] = {}
    for artefact in artefacts:
        by_number.setdefault(artefact["number"], []).append(artefact)
    for number, parts in by_number.items():
        # With several load hosts, each part starts with its host's name.
        texts = [
            (f"# {part['host']}\n" if len(parts) > 1 else "")
            + (part.get("stdout") or part.get("error") or "")
            for part in parts
        ]
        _write(folder / f"{number:04}.txt", "".join(texts))


def _write(path: Path, text: str) -> None:
    """Write a file that only its owner can read, atomically."""
    new = path.with_name(f".{path.name}.new")
    with suppress(FileNotFoundError):
        new.unlink()
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    new.rename(path)


def read_result(path: Path) -> dict[str, Any]:
    """Return the document in a file. Raises ResultError if it is no result."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ResultError(f"Failed to compare {path}: {error.strerror}") from error
    except ValueError as error:
        raise ResultError(
            f"Failed to compare {path}: it is not JSON. Give a latest.json of `runner.py bench`."
        ) from error
    return compare.check(found, str(path))
