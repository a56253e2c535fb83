"""Data → one HTML file: d3, the page's own code and style inlined, nothing that could load or run anything else.

The policy in its head allows scripts and styles by their sha256 only, and no connection. Data is JSON in a script
element that is no script; its text reaches the page as text (`textContent`), never as markup.
"""

from __future__ import annotations

import base64
import hashlib
import json
from html import escape
from importlib.resources import files
from typing import Any

STYLES = ("page.css",)
# Each wraps itself in a function and adds to the global `Explore`; in the order in which they need each other.
SCRIPTS = (
    "data.js",
    "format.js",
    "cost.js",
    "commands.js",
    "search.js",
    "colour.js",
    "state.js",
    "tree.js",
    "diagram.js",
    "details.js",
    "cutout.js",
    "panels.js",
    "main.js",
)
_ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def document(data: dict[str, Any]) -> str:
    """The page of a payload. The same data gives the same bytes.

    >>> document(payload([read_source("taxonomies/imagenet100.yaml")]))[:15]
    '<!doctype html>'
    """
    style = "\n".join(_own(name) for name in STYLES)
    scripts = [*(text for _, text in vendored()), *(_own(name) for name in SCRIPTS)]
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src {' '.join(_hash(text) for text in scripts)}",
            f"style-src {_hash(style)}",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    body = _own("body.html")
    parts = [
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy, quote=True)}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        '<meta name="referrer" content="no-referrer">',
        '<link rel="icon" href="data:,">',
        f"<title>{escape(str(data['title']))} · hiergen explore</title>",
        f"<style>{style}</style>",
        "</head>",
        f"<body>\n{body}",
        f'<script type="application/json" id="data">{as_json(data)}</script>',
        f'<script type="text/plain" id="licences">{escape(licences(), quote=False)}</script>',
        *(f"<script>{text}</script>" for text in scripts),
        "</body>",
        "</html>",
    ]
    return "\n".join(parts) + "\n"


def as_json(data: object) -> str:
    """JSON that may stand in a script element: no text in it can end that, or open a comment."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # lone surrogates have no UTF-8, and no meaning
    return text.translate(_ESCAPES).encode("utf-8", "replace").decode("utf-8")


def vendored() -> list[tuple[str, str]]:
    """(name and version, source) of d3's modules in the order in which they are run."""
    folder = files("hiergen.explore").joinpath("vendor")
    rows = json.loads(folder.joinpath("manifest.json").read_text("utf-8"))["files"]
    return [(f"{row['name']} {row['version']}", folder.joinpath(row["file"]).read_text("utf-8")) for row in rows]


def licences() -> str:
    """The licence texts of what is inlined; the same text once, under all names."""
    folder = files("hiergen.explore").joinpath("vendor")
    rows = json.loads(folder.joinpath("manifest.json").read_text("utf-8"))["files"]
    found: dict[str, list[str]] = {}
    for row in rows:
        text = folder.joinpath(row["licence_file"]).read_text("utf-8").strip()
        found.setdefault(text, []).append(f"{row['name']} {row['version']}")
    return "\n\n".join(f"{', '.join(names)}:\n\n{text}" for text, names in found.items())


def _own(name: str) -> str:
    return files("hiergen.explore").joinpath("page", name).read_text("utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
