"""Typed inputs of the role monitoring for tests."""

from __future__ import annotations

from typing import Any

from ansible_collections.pooled.postgres.plugins.plugin_utils.plan import role_options, validated

DEBIAN_13 = {"distribution": "Debian", "distribution_major_version": "13"}
EMAIL = {"to": "a@example.com", "from": "b@example.com", "smarthost": "mail.example.com:587"}


def given(**values: Any) -> dict[str, Any]:
    """Return typed inputs of the role, the defaults unless given."""
    options = role_options("monitoring")
    defaults = {name: option["default"] for name, option in options.items()}
    typed, problems = validated(options, {**defaults, "monitoring_grafana_password": "p", **values})
    assert problems == []
    return typed
