# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Inputs of a role are typed and checked before anything is planned."""

from __future__ import annotations

import pytest
from ansible_collections.pooled.postgres.plugins.plugin_utils import plan
from jinja2 import UndefinedError

OPTIONS = {
    "size": {"type": "int", "default": 20},
    "users": {
        "type": "list",
        "elements": "dict",
        "options": {
            "name": {"type": "str", "required": True},
            "password": {"type": "str", "no_log": True},
            "databases": {"type": "list", "elements": "str"},
        },
    },
    "settings": {"type": "dict"},
}


def test_inputs_get_their_types() -> None:
    typed, problems = plan.validated(OPTIONS, {"size": "30", "users": [], "settings": {}})
    assert (typed["size"], problems) == (30, [])


def test_empty_suboptions_are_left_out_and_free_settings_stay() -> None:
    given = {"size": 1, "users": [{"name": "a"}], "settings": {"work_mem": None}}
    typed, _ = plan.validated(OPTIONS, given)
    assert typed == {"size": 1, "users": [{"name": "a"}], "settings": {"work_mem": None}}


def test_a_wrong_type_names_the_input() -> None:
    problems = plan.validated(OPTIONS, {"size": "20x", "users": [], "settings": {}})[1]
    assert len(problems) == 1
    assert problems[0].startswith("size: ")
    assert "20x" in problems[0]


def test_all_problems_come_at_once_and_none_shows_a_password() -> None:
    given = {"size": "x", "users": [{"password": "s3cr3t", "databases": {"s3cr3t": 1}}], "settings": "s3cr3t"}
    text = "\n".join(plan.validated(OPTIONS, given)[1])
    assert "size" in text
    assert "name" in text
    assert "s3cr3t" not in text


def test_each_role_has_readable_options() -> None:
    assert plan.role_options("pgbouncer")["pgbouncer_default_pool_size"]["type"] == "int"


def test_a_template_fails_on_an_unknown_variable(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "role/templates").mkdir(parents=True)
    (tmp_path / "role/templates/unit.j2").write_text(
        "{% if a %}\nA={{ a | to_json }}\n{% endif %}\n{{ b }}\n"
    )
    monkeypatch.setattr(plan, "ROLES", tmp_path)
    render = plan.renderer("role")
    assert render("unit.j2", a="ä", b=1) == 'A="ä"\n1\n'
    with pytest.raises(UndefinedError):
        render("unit.j2", a="ä")
