"""Files that Grafana is provisioned by have what Grafana's own types have, and nothing else."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import grafana_provisioning as grafana
import jinja2
import pytest
import yaml

TEMPLATES = Path(__file__).resolve().parents[2] / "roles/monitoring/templates"
VALUES = {
    "ansible_managed": "Managed",
    "monitoring_scrape_interval": "15s",
    "__monitoring_urls": {"prometheus": "http://127.0.0.1:9090"},
    "__monitoring_grafana_dashboards": "/etc/grafana/pooled-dashboards",
}


def rendered(name: str) -> Any:
    """Return a template as what it says, filled in."""
    text = (TEMPLATES / name).read_text(encoding="utf-8")
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701
    return yaml.safe_load(environment.from_string(text).render(VALUES))


DATASOURCES, DASHBOARDS = rendered("grafana_datasource.yml.j2"), rendered("grafana_dashboards.yml.j2")


def test_grafana_knows_all_of_it() -> None:
    assert grafana.problems(DATASOURCES, grafana.DATASOURCES) == []
    assert grafana.problems(DASHBOARDS, grafana.DASHBOARDS) == []


def test_the_dashboards_know_the_datasource() -> None:
    assert DATASOURCES["datasources"][0]["uid"] == "prometheus"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"isdefault": True}, "'isdefault' was unexpected"),
        ({"isDefault": "yes"}, "$.datasources[0].isDefault: 'yes' is not of type 'boolean'"),
        ({"url": "127.0.0.1:9090"}, "$.datasources[0].url"),
        ({"jsonData": {"timeinterval": "15s"}}, "'timeinterval' was unexpected"),
        ({"jsonData": {"timeInterval": 15}}, "15 is not of type 'string'"),
    ],
)
def test_what_grafana_passes_over_in_a_datasource_is_found(change: dict[str, Any], said: str) -> None:
    wrong = copy.deepcopy(DATASOURCES)
    wrong["datasources"][0] |= change
    assert said in "; ".join(grafana.problems(wrong, grafana.DATASOURCES))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"allowUIUpdates": False}, "'allowUIUpdates' was unexpected"),
        ({"updateIntervalSeconds": "30s"}, "'30s' is not of type 'integer'"),
        ({"options": {"folder": "/etc/grafana"}}, "'path' is a required property"),
    ],
)
def test_what_grafana_passes_over_in_a_provider_is_found(change: dict[str, Any], said: str) -> None:
    wrong = copy.deepcopy(DASHBOARDS)
    wrong["providers"][0] |= change
    assert said in "; ".join(grafana.problems(wrong, grafana.DASHBOARDS))
