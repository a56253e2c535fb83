"""Networks in folders and repositories as Hugging Face has them, by its mixin: weights, plan, classes, transform, card.

What is read back is built from the plan, which is numbers and names; no code of a repository is run.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData, ModelHubMixin, constants, hf_hub_download
from pydantic import ValidationError

from hiergen._version import __version__
from hiergen.codegen.build import render
from hiergen.console.markdown import escaped, fenced
from hiergen.errors import HiergenError, quoted, unquoted
from hiergen.files import read_text, write_text
from hiergen.lookup.reference import CUTOUT_SOURCE
from hiergen.models.load import CUTOUT_WEIGHTS
from hiergen.models.weights import load_weights, save_weights
from hiergen.nn.network import HierarchicalNetwork
from hiergen.planning.from_network import plan_of
from hiergen.planning.network import network_of
from hiergen.planning.plan import Plan
from hiergen.taxonomy.nesting import Nesting
from hiergen.taxonomy.specfile import misfit

_TRANSFORM = ("input_size", "mean", "std", "interpolation", "crop_pct", "crop_mode")
_LISTED = 40  # classes of a group in a card


def save_pretrained(network: HierarchicalNetwork, folder: str | Path, *, card: str | Path | None = None) -> Path:
    """Write a network into a folder as a repository of Hugging Face has it; the folder.

    model.safetensors and model.py, which all commands take (the folder is a model, like a cutout's), config.json with
    classes, transform and plan, and README.md: one of classes and groups, or the `card`, such as a training's card.md,
    with its pictures.
    Raises HiergenError for a network that has no plan, OutputError where a file cannot be written.
    """
    with _sentences(f"{unquoted(folder)} could not be written"):
        _Shared(network, card).save_pretrained(folder, model_card_kwargs={"source": str(folder)})
    return Path(folder)


def push_to_hub(
    network: HierarchicalNetwork, repository: str, *, card: str | Path | None = None, **options: Any
) -> str:
    """Send what `save_pretrained` writes to a repository, "user/name"; its address.

    `options` are those of huggingface_hub's `push_to_hub`: private, token, branch, commit_message, ….
    Raises HiergenError as `save_pretrained` does, and where the hub cannot be reached or refuses.
    """
    with _sentences(f"{quoted(repository)} could not be sent"):
        shared = _Shared(network, card)
        return shared.push_to_hub(repository, model_card_kwargs={"source": repository}, **options)


def from_pretrained(
    source: str | Path, *, cls: type[HierarchicalNetwork] = HierarchicalNetwork, **options: Any
) -> HierarchicalNetwork:
    """The network, in eval mode, of a folder that `save_pretrained` wrote, or of a repository, "user/name".

    `cls` is a network's class to build in place of the plan. `options` are those of huggingface_hub's
    `from_pretrained`: revision, token, cache_dir, local_files_only, …. Raises HiergenError for what is no such folder
    or repository, cannot be reached, or does not fit.
    """
    with _sentences(f"{quoted(source)} cannot be read"):
        return _Shared.from_pretrained(source, network_class=cls, **options).network


class _Shared(ModelHubMixin):
    """A network as huggingface_hub saves and loads it."""

    def __init__(self, network: HierarchicalNetwork, card: str | Path | None = None) -> None:
        self.network, self.card = network, card

    def _save_pretrained(self, save_directory: Path) -> None:
        name = type(self.network).__name__
        name = name if name != HierarchicalNetwork.__name__ else "Network"
        plan = plan_of(self.network, taxonomy=name.lower(), model=name)
        config = self.network.pretrained_cfg
        content = {
            "library": "hiergen",
            "hiergen_version": __version__,
            "architecture": name,
            "num_classes": self.network.num_classes,
            "id2label": dict(enumerate(self.network.nesting.labels)),
            "transform": {key: config[key] for key in _TRANSFORM if key in config},
            "plan": plan.model_dump(mode="json"),
        }
        source = re.sub(r"^@register\(.*\n", "", render([plan], "a network"), flags=re.MULTILINE)
        save_weights(self.network, save_directory / CUTOUT_WEIGHTS, model=name)
        write_text(save_directory / CUTOUT_SOURCE, source)
        for picture in _pictures(self.card):
            shutil.copyfile(picture, save_directory / picture.name)
        write_text(save_directory / constants.CONFIG_NAME, json.dumps(content, indent=1, ensure_ascii=False) + "\n")

    def generate_model_card(self, *, source: str) -> ModelCard:
        if self.card is not None:
            return ModelCard(read_text(Path(self.card)), ignore_metadata_errors=True)
        return ModelCard(card_of(self.network, source), ignore_metadata_errors=True)

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        config: dict[str, Any] | None = None,
        network_class: type[HierarchicalNetwork] = HierarchicalNetwork,
        **options: Any,
    ) -> _Shared:
        network = network_class() if network_class is not HierarchicalNetwork else _planned(config, model_id)
        folder = Path(model_id)
        if folder.is_dir():
            file = folder / CUTOUT_WEIGHTS
        else:
            file = Path(hf_hub_download(repo_id=model_id, filename=CUTOUT_WEIGHTS, **options))
        load_weights(network, file)
        return cls(network.eval())


def _pictures(card: str | Path | None) -> list[Path]:
    """Those beside a card that it shows."""
    if card is None:
        return []
    shown = re.findall(r"!\[[^]]*\]\(([\w.-]+\.(?:png|svg))\)", read_text(Path(card)))
    return [file for name in shown if (file := Path(card).with_name(name)).is_file()]


def _planned(config: Any, source: str) -> HierarchicalNetwork:
    """The network of a config's plan. Raises HiergenError for one without, or that cannot be."""
    if not isinstance(config, dict) or "plan" not in config:
        raise HiergenError(
            "holds no network of hiergen", place=unquoted(source), expected=f"a {constants.CONFIG_NAME} with a plan"
        )
    try:
        plan = Plan.model_validate(config["plan"])
        network = network_of(plan)
        plan_of(network, taxonomy=plan.taxonomy, model=plan.model)  # its branches are those of its classes
        return network
    except ValidationError as error:
        raise HiergenError(f"holds no plan of a network: {misfit(error)}", place=unquoted(source)) from None
    except (HiergenError, ValueError, TypeError, KeyError, IndexError, AssertionError) as error:
        raise HiergenError(f"holds a plan that cannot be: {unquoted(error)}", place=unquoted(source)) from None


@contextmanager
def _sentences(problem: str) -> Iterator[None]:
    """What huggingface_hub raises, as our sentence."""
    try:
        yield
    except (OSError, ValueError) as error:  # its own errors, of connections too, and names that are none
        why = next(iter(str(error).strip().splitlines()), "no reason given")
        raise HiergenError(problem, got=f"{type(error).__name__}: {unquoted(why)}") from error


def front_matter(name: str, **more: Any) -> str:
    """The YAML above a model card; a licence is for whoever publishes it to say."""
    data = ModelCardData(
        library_name="hiergen",
        pipeline_tag="image-classification",
        tags=["hiergen", "hierarchical-classification", "timm"],
        model_name=name,
        **more,
    )
    return f"---\n{data.to_yaml()}\n---\n\n"


def card_of(network: HierarchicalNetwork, source: str) -> str:
    """A model card: front matter, how to load it from `source`, and its classes by group."""
    name, nesting, trunk = type(network).__name__, network.nesting, network.trunk
    code = f"""\
import hiergen

network = hiergen.from_pretrained({source!r})
print(network.predict("photo.jpg").best)  # groups, then classes, with probabilities
part = network.cutout({nesting.classes[0]!r})  # a smaller network of some classes"""
    branches = " → ".join(f"{level.branches:,}" for level in network.levels)
    size = " × ".join(map(str, trunk.input_size))
    lines = [
        f"# {escaped(name)}",
        "",
        f"An image classifier for {network.num_classes:,} classes: a shared trunk ({escaped(trunk.backbone)} up to "
        f"{escaped(trunk.until)}), then {branches} branches, so that classes and groups have features of their own. "
        f"Input: {size} (channels, height, width).",
        "",
        *fenced(code, "python"),
        "",
        "## Classes",
        "",
        *(f"- {_group(nesting, branch)}" for branch in range(len(nesting.names(1)) if nesting.levels else 0)),
        *([] if nesting.levels else [_some(nesting.labels)]),
        "",
        "## Licence",
        "",
        "Of these weights: to be filled in by whoever publishes them (`license:` above too).",
    ]
    return front_matter(name) + "\n".join(lines) + "\n"


def _group(nesting: Nesting, branch: int) -> str:
    members = nesting.members(1, branch)
    return f"{escaped(nesting.names(1)[branch])}: {_some([nesting.labels[c] for c in members])}"


def _some(names: Sequence[str]) -> str:
    first = ", ".join(map(escaped, names[:_LISTED]))
    return first if len(names) <= _LISTED else f"{first} and {len(names) - _LISTED:,} more"
