"""The JSON of the dashboards matches their code, and all dashboards follow the same rules."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.pooled.postgres.plugins.module_utils._report import panels, units
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards import build

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(build.FOLDER.glob("*.json"))
}
EXCEPTIONS = yaml.safe_load((ROOT / "dashboards/without_data.yml").read_text(encoding="utf-8"))
every_dashboard = pytest.mark.parametrize("name", build.BUILDERS)


def panels_of(document: dict[str, Any], *, rows: bool = False) -> list[dict[str, Any]]:
    """Return the panels, with rows on request."""
    return [panel for panel in document["panels"] if rows or panel["type"] != "row"]


def test_each_dashboard_has_a_file_and_no_other_exists() -> None:
    assert sorted(DOCUMENTS) == sorted(build.BUILDERS)


@every_dashboard
def test_the_json_matches_the_code(name: str) -> None:
    found = (build.FOLDER / f"{name}.json").read_text(encoding="utf-8")
    assert found == build.text(build.BUILDERS[name]()), "run `make dashboards`"


@every_dashboard
def test_grafanas_types_know_every_field(name: str) -> None:
    register_default_plugins()
    document = DOCUMENTS[name]
    again = json.loads(JSONEncoder().encode(Dashboard.from_json(document)))
    # The types drop unknown fields.
    missing = [path for path in _paths(document) if path not in set(_paths(again))]
    assert missing == []


def _paths(value: Any, at: str = "") -> list[str]:
    if isinstance(value, dict):
        return [path for key, one in value.items() for path in _paths(one, f"{at}.{key}")]
    if isinstance(value, list):
        return [path for number, one in enumerate(value) for path in _paths(one, f"{at}[{number}]")]
    return [f"{at}={value!r}"]


@every_dashboard
def test_uid_variables_and_links(name: str) -> None:
    document = DOCUMENTS[name]
    assert document["uid"] == f"pooled-{name}"
    assert [one["name"] for one in document["templating"]["list"]] == ["stack", "host", "database", "user"]
    (link,) = document["links"]
    assert (link["type"], link["tags"], link["includeVars"], link["keepTime"]) == (
        "dashboards",
        document["tags"],
        True,
        True,
    )
    sources = re.findall(r'"uid": "([^"]*)"', json.dumps(document))
    assert set(sources) == {document["uid"], "prometheus"}


@every_dashboard
def test_the_first_row_has_figures_with_thresholds(name: str) -> None:
    first = list(itertools.takewhile(lambda panel: panel["type"] != "row", DOCUMENTS[name]["panels"]))
    assert {panel["type"] for panel in first} == {"stat"}
    assert sum(panel["gridPos"]["w"] for panel in first) == 24
    judged = [panel for panel in first if len(panel["fieldConfig"]["defaults"]["thresholds"]["steps"]) > 1]
    assert len(judged) >= 4


@every_dashboard
def test_panels_have_their_own_title_and_a_description(name: str) -> None:
    found = panels_of(DOCUMENTS[name])
    titles = [panel["title"] for panel in found]
    assert len(titles) == len(set(titles))
    assert [panel["title"] for panel in found if not panel["description"].endswith(".")] == []
    assert [panel["title"] for panel in found if not panel["targets"]] == []
    used = {panel["fieldConfig"]["defaults"].get("unit", "short") for panel in found}
    used |= {
        one["value"]
        for panel in found
        for override in panel["fieldConfig"]["overrides"]
        for one in override["properties"]
        if one["id"] == "unit"
    }
    assert used <= set(units.UNITS), "the report does not know these units"


@every_dashboard
def test_panels_fill_the_grid_without_overlap(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels_of(DOCUMENTS[name], rows=True):
        at = panel["gridPos"]
        cells = set(itertools.product(range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])))
        assert not cells & taken, panel["title"]
        assert max(x for x, _y in cells) < 24, panel["title"]
        taken |= cells
    height = max(y for _x, y in taken) + 1
    # Two panels stand side by side; the last one may be alone.
    assert len(taken) >= 24 * height - 12 * 8


@every_dashboard
def test_every_series_is_selected_by_stack_and_host(name: str) -> None:
    board = panels.read(DOCUMENTS[name])
    for query in board.queries():
        chosen = re.findall(r"\{([^{}]*)\}", query.expr)
        if query.panel in ("$stack", "$host"):
            continue
        assert chosen, query
        for one in chosen:
            assert 'stack=~"$stack",host=~"$host"' in one, query


def test_an_alert_or_a_panel_uses_each_recorded_series() -> None:
    rules = (ROOT / "roles/monitoring/templates/rules.yml.j2").read_text(encoding="utf-8")
    recorded = set(re.findall(r"record: (\S+)", rules))
    asked = panels.all_queries(panels.read(document) for document in DOCUMENTS.values())
    named = [re.sub(r"record: \S+", "", rules), *(query.expr for query in asked)]
    assert recorded
    assert set(re.findall(r"pooled:[\w:]+", " ".join(named))) == recorded


@pytest.mark.parametrize(
    "one", EXCEPTIONS, ids=lambda one: f"{one['dashboard']}-{one['panel']}-{one.get('query')}"
)
def test_exceptions_name_existing_queries(one: dict[str, str]) -> None:
    assert one["reason"].endswith(".")
    asked = panels.all_queries(panels.read(document) for document in DOCUMENTS.values())
    assert any(
        (query.dashboard, query.panel) == (one["dashboard"], one["panel"])
        and query.ref == one.get("query", query.ref)
        for query in asked
    )
