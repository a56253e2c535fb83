"""What is wrong with a built site: links and anchors that lead nowhere, and what would be fetched elsewhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {"img": "src", "script": "src", "link": "href", "iframe": "src", "source": "src", "video": "src"}
ELSEWHERE = re.compile(r"(?:url\(|@import)\s*['\"]?((?:https?:)?//[^)'\"]+)")
NOT_LOADED = {"canonical", "prev", "next", "edit", "alternate"}


class Page(HTMLParser):
    """The ids of a page, the links on it, and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        self.ids.update(named[key] for key in ("id", "name") if key in named)
        if tag == "a" and "href" in named:
            self.links.append(named["href"])
        if tag in LOADED and named.get(LOADED[tag]) and not NOT_LOADED & set(named.get("rel", "").split()):
            self.loads.append(named[LOADED[tag]])


def problems(site: Path) -> list[str]:
    """One sentence for each, empty if the site is whole and stands by itself."""
    pages = {path: Page(path.read_text("utf-8")) for path in sorted(site.rglob("*.html"))}
    found = [] if pages else [f"{site} has no pages"]
    for path, page in pages.items():
        at = path.relative_to(site).as_posix()
        for link in page.links:
            if (where := _broken(link, path, site, pages)) is not None:
                found.append(f"{at}: link to {link!r}: {where}")
        for load in page.loads:
            if urlsplit(load).netloc:
                found.append(f"{at}: loads {load!r} from elsewhere")
            elif (where := _broken(load, path, site, pages)) is not None:
                found.append(f"{at}: loads {load!r}: {where}")
    for sheet in site.rglob("*.css"):
        for url in ELSEWHERE.finditer(sheet.read_text("utf-8")):
            found.append(f"{sheet.relative_to(site)}: loads {url[1]} from elsewhere")
    return found


def _broken(link: str, path: Path, site: Path, pages: dict[Path, Page]) -> str | None:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc or link.startswith(("mailto:", "javascript:")):
        return None
    if parts.path.startswith("/"):
        return None if path.name == "404.html" and (site / parts.path.lstrip("/")).exists() else "it is absolute"
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if target.is_dir():
        target /= "index.html"
    if not target.is_file():
        return "there is no such file"
    if parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].ids:
        return "there is no such place on the page"
    return None
