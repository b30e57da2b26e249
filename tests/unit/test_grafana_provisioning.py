"""The files that provision Grafana have the fields of Grafana's own types, and no others."""

from __future__ import annotations

import copy
from typing import Any

import grafana_provisioning as grafana
import pytest
import yaml
from ansible_collections.pooled.postgres.plugins.plugin_utils.plan import renderer

VALUES = {
    "url": "http://127.0.0.1:9090",
    "scrape_interval": "15s",
    "dashboards": "/etc/grafana/pooled-dashboards",
}


def rendered(name: str) -> Any:
    """Return what a template of the role says."""
    return yaml.safe_load(renderer("monitoring")(name, **VALUES))


DATASOURCES, DASHBOARDS = rendered("grafana_datasource.yml.j2"), rendered("grafana_dashboards.yml.j2")


def test_grafana_knows_every_field() -> None:
    assert grafana.problems(DATASOURCES, grafana.DATASOURCES) == []
    assert grafana.problems(DASHBOARDS, grafana.DASHBOARDS) == []


def test_the_datasource_has_the_uid_of_the_dashboards() -> None:
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
def test_a_field_that_grafana_would_ignore_in_a_datasource_is_found(
    change: dict[str, Any], said: str
) -> None:
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
def test_a_field_that_grafana_would_ignore_in_a_provider_is_found(change: dict[str, Any], said: str) -> None:
    wrong = copy.deepcopy(DASHBOARDS)
    wrong["providers"][0] |= change
    assert said in "; ".join(grafana.problems(wrong, grafana.DASHBOARDS))
