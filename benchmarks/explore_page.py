"""How fast the explorer page is: first paint, clicks, folding and search for 100, 1000 and 21,841 classes.

    python benchmarks/explore_page.py [--repeats 5] [--keep FOLDER]

Needs chromium, chromedriver and selenium, as the browser tests do. Times are the browser's own clock: first paint from
the start of the navigation to the frame after the page was drawn; a click until the frame after it is painted. Beside
them is the page's main thread's own CPU time, which a machine at work on something else does not lengthen as much.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

NOUNS = 21841
_MODEL = """models:
  N3HL:
    trunk: {backbone: resnet50, until: layer2}
    branches:
      - [{depth: 1, width: 32, out: 64, stride: 2}]
      - [{depth: 1, width: 16, out: 32, stride: 2}]
      - [{depth: 1, width: 8, out: 16}]
"""
# ms from an act to the end of the next frame, by requestAnimationFrame and a task after it
_TIMED = """
const done = arguments[arguments.length - 1], act = new Function(arguments[0]);
const start = performance.now();
act();
requestAnimationFrame(() => {
  const channel = new MessageChannel();
  channel.port1.onmessage = () => done(performance.now() - start);
  channel.port2.postMessage(0);
});
"""
ACTS = {
    "click a class": "document.querySelector('#tree-0 .row.class, #tree-0 .row.group').click()",
    "click a group": "document.querySelectorAll('#tree-0 .row.group')[1].click()",
    "fold": "document.querySelectorAll('#tree-0 .row.group .twist')[0].click()",
    "search": "const i = document.getElementById('search'); i.value = 'cat'; i.dispatchEvent(new Event('input'))",
    "sunburst": "document.querySelector('[data-view=sunburst]').click()",
    "icicle": "document.querySelector('[data-view=icicle]').click()",
    "colour by MACs": "const s = document.getElementById('colour'); s.value = 'macs';"
    "s.dispatchEvent(new Event('change'))",
}


def nouns(folder: Path) -> Path:
    """A taxonomy file of 21,841 leaves of WordNet below physical_entity.n.01, evenly taken."""
    from hiergen.taxonomy.wordnet.nouns import default

    wordnet = default()
    root = wordnet.resolve("physical_entity.n.01")
    assert root is not None
    found = [s for s in sorted(wordnet.descendants(root)) if not wordnet.hyponyms(s)]
    found = [s for s in found if not wordnet.synset(s).instance_hypernyms()]
    ids = [found[i * len(found) // NOUNS] for i in range(NOUNS)]
    (folder / "nouns.txt").write_text("\n".join(ids) + "\n", "utf-8")
    file = folder / "nouns.yaml"
    file.write_text(f"name: nouns\nclasses: nouns.txt\nsources: [wordnet]\n{_MODEL}", "utf-8")
    return file


def cpu(driver: Any) -> float:
    """ms that the page's main thread has worked so far."""
    found = driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    return float({one["name"]: one["value"] for one in found}["TaskDuration"]) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--keep", type=Path, help="where to leave the pages")
    asked = parser.parse_args()
    from hiergen.views.explore import explore
    from tests.views.page_cases import Page, browser

    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        files = [ROOT / "taxonomies" / "imagenet100.yaml", ROOT / "taxonomies" / "imagenet1k.yaml", nouns(folder)]
        print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
        columns = ["making, s", "size, MB", "first paint, ms", *(f"{act}, ms" for act in ACTS)]
        rows: dict[str, list[str]] = {column: [] for column in columns}
        for file in files:
            begin = time.perf_counter()
            made = explore([str(file)], folder / f"{file.stem}.html")
            rows["making, s"].append(f"{time.perf_counter() - begin:.1f}")
            rows["size, MB"].append(f"{made.size / 1e6:.2f}")
            times: dict[str, list[tuple[float, float]]] = {column: [] for column in columns[2:]}
            with browser() as driver:
                driver.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
                for _ in range(asked.repeats):
                    driver.get("about:blank")
                    before = cpu(driver)
                    page = Page(driver, made.path)
                    page.until(lambda p=page: p.js("return performance.getEntriesByName('explore-painted').length"))
                    paint = page.js("return performance.getEntriesByName('explore-painted')[0].startTime")
                    spent = cpu(driver)
                    times["first paint, ms"].append((paint, spent - before if spent >= before else spent))
                    for act, code in ACTS.items():
                        before = cpu(driver)
                        took = driver.execute_async_script(_TIMED, code)
                        times[f"{act}, ms"].append((took, cpu(driver) - before))
            for column, found in times.items():
                wall, own = zip(*found, strict=True)
                text = f"{statistics.median(wall):.0f} ({max(wall):.0f}) / {statistics.median(own):.0f}"
                rows[column].append(text)
        print(f"{'median (largest) / CPU':<24}" + "".join(f"{file.stem:>22}" for file in files))
        for column, cells in rows.items():
            print(f"{column:<24}" + "".join(f"{cell:>22}" for cell in cells))


if __name__ == "__main__":
    main()
