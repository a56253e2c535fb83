"""Build the documentation site: python docs/site/build.py [FOLDER], by default into build/site.

Needs the extra `docs`. Pages are copied to a temporary folder, where links to files outside docs/ become links to
copies under files/; then mkdocs builds strictly, and the result is checked: every link and anchor leads somewhere
inside the site, and nothing is loaded from elsewhere. Exit code 1 and the list of what is wrong otherwise.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent))

from sitecheck import problems

HERE = Path(__file__).resolve().parent
DOCS, ROOT = HERE.parent, HERE.parents[1]
README = "readme.md"
BESIDE = re.compile(r"(\]\()(?!https?:|#)([^)]+\))")
OUTSIDE = re.compile(r"(\]\()\.\./([^)#\s]+)(#[^)\s]*)?(\))")


def main() -> None:
    start = time.perf_counter()
    parser = argparse.ArgumentParser(description="Build the documentation site and check its links.")
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "build/site", help="where to (build/site)")
    out: Path = parser.parse_args().folder.resolve()
    with tempfile.TemporaryDirectory(prefix="hiergen-docs-") as folder:
        config = stage(Path(folder))
        env = {
            **os.environ,
            "NO_MKDOCS_2_WARNING": "1",
            "HIERGEN_DOCS": str(Path(folder) / "docs"),
            "HIERGEN_SITE": str(out),
        }
        command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--clean", "-f", str(config)]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        if done.returncode:  # with --quiet it would not count warnings
            sys.exit(f"{done.stdout}{done.stderr}the documentation does not build")
    if found := problems(out):
        sys.exit("\n".join([*found, f"{len(found)} problems in {out}"]))
    pages = len(list(out.rglob("*.html")))
    print(f"→ {out}: {pages} pages, {time.perf_counter() - start:.1f} s")
    print(f"read it with its search: python -m http.server -d {shlex.quote(str(out))}")


def stage(folder: Path) -> Path:
    """The pages as mkdocs wants them under `folder`/docs. Returns the configuration with its navigation."""
    target = folder / "docs"
    shutil.copytree(DOCS, target, ignore=shutil.ignore_patterns("site"))
    (target / "files").mkdir(exist_ok=True)
    shutil.copy(HERE / "extra.css", target / "files/extra.css")
    readme = BESIDE.sub(
        lambda m: m[1] + (m[2].removeprefix("docs/") if m[2][:5] == "docs/" else f"../{m[2]}"),
        (ROOT / "README.md").read_text("utf-8"),
    )
    (target / README).write_text(readme, "utf-8")
    for page in target.glob("*.md"):
        page.write_text(_inside(page.read_text("utf-8"), target), "utf-8")
    config = folder / "mkdocs.yml"
    text = (HERE / "mkdocs.yml").read_text("utf-8")
    head, found, _ = text.partition("nav: []")
    assert found
    config.write_text(head + yaml.safe_dump({"nav": navigation()}, sort_keys=False, allow_unicode=True), "utf-8")
    return config


def navigation() -> list[dict[str, list[str]]]:
    """nav.yml as mkdocs takes it."""
    data = yaml.safe_load((HERE / "nav.yml").read_text("utf-8"))
    return [{tab: pages} for tab, pages in data["nav"].items()]


def _inside(text: str, target: Path) -> str:
    """`text` with links to files beside docs/ led to copies of them under files/."""

    def led(match: re.Match[str]) -> str:
        file = match[2]
        if file == "README.md":
            return f"{match[1]}{README}{match[3] or ''}{match[4]}"
        source = ROOT / file
        if not source.is_file():
            sys.exit(f"a page links to ../{file}, which is no file")
        copy = target / "files" / (f"{file}.txt" if source.suffix in {".md", ".py"} else file)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, copy)
        return f"{match[1]}{copy.relative_to(target).as_posix()}{match[4]}"

    return OUTSIDE.sub(led, text)


if __name__ == "__main__":
    main()
