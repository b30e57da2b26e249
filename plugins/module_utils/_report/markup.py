# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""HTML out of plain text: whatever is no element is escaped. Pure."""

from __future__ import annotations

import html

# Those of HTML. SVG has none: there, a start without an end takes in what follows.
_EMPTY = {"br", "meta"}


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(name: str, /, *content: str, **attributes: str | float | None) -> Html:
    """Return an element. Text in it is escaped; attributes that are None are left out.

    Names of attributes are written with ``_`` for ``-``, and one after those that are Python's own words.
    """
    pairs = (
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    start = f"<{name}{''.join(pairs)}>"
    return Html(start if name in _EMPTY and not content else f"{start}{joined(*content)}</{name}>")


def joined(*content: str) -> Html:
    """Return texts and elements one after the other."""
    return Html("".join(one if isinstance(one, Html) else html.escape(one, quote=False) for one in content))
