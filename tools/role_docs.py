#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writes roles/<role>/README.md of each role from its meta/; with --check only says which are out of date."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

import jinja2
import yaml

ROOT = Path(__file__).resolve().parent.parent

PAGE = """\
<!-- Made by tools/role_docs.py from what is in meta/: change it there, then run that. -->
# {{ collection }}.{{ role }}

{{ main.short_description }}.

{% for sentence in main.description | sentences %}
- {{ sentence | markdown }}
{% endfor %}

## Requirements

- ansible-core {{ galaxy_info.min_ansible_version }} or newer
{% for platform in galaxy_info.platforms %}
- {{ platform.name }} ({{ platform.versions | join(', ') }})
{% endfor %}
{% for name, versions in collections.items() %}
- the collection `{{ name }}` {{ versions }}
{% endfor %}

## Inputs

{{ table(main.options) }}
{%- for name, option in main.options.items() if option.get('options') %}

### Entries of `{{ name }}`

{{ table(option.options) }}
{%- for names in option.get('required_one_of', []) %}

Each entry has at least one of `{{ names | join('`, `') }}`.
{% endfor %}
{% endfor %}

## Example

```yaml
{{ main.examples | trim }}
```

## Licence

{{ galaxy_info.license }}
"""


def sentences(description: str | list[str]) -> list[str]:
    """Return a description, which may be one text or several, as several."""
    return [description] if isinstance(description, str) else description


def markdown(text: str) -> str:
    """Turn Ansible's markup, such as ``C(name)``, into Markdown's."""
    return re.sub(r"\b[CEOV]\(([^)]*)\)", r"`\1`", text)


def text_of(value: Any) -> str:
    """Return a value as YAML has it. Strings go without quotes, save the empty one."""
    return value if isinstance(value, str) and value else json.dumps(value)


def row(name: str, option: dict[str, Any]) -> str:
    """Return the row of the table that documents an input."""
    kind = option["type"] + (f" of {option['elements']}" if "elements" in option else "")
    default = ""
    if option.get("required"):
        default = "required"
    elif "default" in option:
        default = f"`{text_of(option['default'])}`"
    texts = [markdown(text) for text in sentences(option["description"])]
    if "choices" in option:
        texts.append("One of " + ", ".join(f"`{choice}`" for choice in option["choices"]) + ".")
    if "example" in option:
        texts.append(f"For example `{text_of(option['example'])}`.")
    if option.get("no_log"):
        texts.append("Secret.")
    cells = [f"`{name}`", kind, default, "<br>".join(texts)]
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def table(options: dict[str, Any]) -> str:
    """Return the table that documents inputs, or the entries of one."""
    rows = [row(name, option) for name, option in options.items()]
    return "\n".join(["| Name | Type | Default | Description |", "|---|---|---|---|", *rows]) + "\n"


def load(path: Path) -> Any:
    """Return the content of a YAML file. Raises OSError and yaml.YAMLError."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def page(folder: Path) -> str:
    """Return the page of the role in ``folder``.

    Raises:
        OSError, yaml.YAMLError, KeyError, jinja2.TemplateError: what the page needs isn't there.
    """
    galaxy = load(ROOT / "galaxy.yml")
    files = [*folder.glob("tasks/*.yml"), *folder.glob("handlers/*.yml")]
    tasks = "".join(path.read_text(encoding="utf-8") for path in files)
    # It is Markdown, which nobody outside of this checkout has a say in: nothing to escape.
    environment = jinja2.Environment(  # noqa: S701
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined
    )
    environment.filters.update(sentences=sentences, markdown=markdown)
    text = environment.from_string(PAGE).render(
        role=folder.name,
        collection=f"{galaxy['namespace']}.{galaxy['name']}",
        collections={name: range_ for name, range_ in galaxy["dependencies"].items() if f"{name}." in tasks},
        main=load(folder / "meta" / "argument_specs.yml")["argument_specs"]["main"],
        galaxy_info=load(folder / "meta" / "main.yml")["galaxy_info"],
        table=table,
    )
    return re.sub(r"\n{3,}", "\n\n", text)


def main() -> int:
    """Write the pages, or check them. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 if a page is out of date")
    check = parser.parse_args().check
    outdated = []
    for folder in sorted(path for path in (ROOT / "roles").iterdir() if path.is_dir()):
        readme = folder / "README.md"
        try:
            wanted = page(folder)
        except (OSError, KeyError, yaml.YAMLError, jinja2.TemplateError) as error:
            sys.exit(f"Failed to document the role {folder.name}: {error!r}")
        if readme.exists() and readme.read_text(encoding="utf-8") == wanted:
            continue
        outdated.append(str(readme.relative_to(ROOT)))
        if not check:
            readme.write_text(wanted, encoding="utf-8")
    if check and outdated:
        print(f"Out of date: {', '.join(outdated)}. Run tools/role_docs.py.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
