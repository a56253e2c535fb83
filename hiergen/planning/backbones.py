"""What is known of timm's backbones without importing torch: stages, channels, sizes, params and MACs.

The table `hiergen/assets/trunks.json.gz` holds what `planning.measure` read off timm at the backbones' usual input
sizes. Any other backbone or size is measured once (that imports torch and timm, some seconds) and kept in the user's
cache folder.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import sys
from contextlib import suppress
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from hiergen import files as io
from hiergen.errors import OutputError, PlanError, nearest, quoted

_NAMES = re.compile(r"""^@register_model\s+def (\w+)|['"](\w+)['"] ?: ['"]""", re.M)  # registered, and older names
_FORMAT = 2  # of cached facts; 1 had MACs that depended on how torch ran a layer
_Record = TypeVar("_Record", bound=BaseModel)


class StageFacts(BaseModel):
    """The backbone up to and with the module `name`: its output (channels, height, width), params and MACs so far."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    channels: int
    reduction: int
    height: int
    width: int
    params: int
    macs: int


class BlockFacts(BaseModel):
    """A block of the backbone that branches can be made of: its module's name and the values of a `StagePlan`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    block: str
    in_channels: int
    width: int
    out: int
    stride: int
    kernel: int | None = None
    act: Literal["relu", "relu6", "silu"] | None = None
    tf: bool = False

    @property
    def stage(self) -> str:
        """The module that it is the first, second, … block of."""
        return self.name.rpartition(".")[0] or self.name


class CopyFacts(BaseModel):
    """A block of the backbone that branches can have copies of: timm's names of its modules, the map after it (of
    tokens 1 × their number), params and MACs. `ends` is the stage that it is the last block of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    modules: tuple[str, ...]
    ends: str | None
    in_channels: int
    out: int
    height: int
    width: int
    params: int
    macs: int


class BackboneFacts(BaseModel):
    """A timm backbone at one input size. The flat network of n classes has `fixed + per_class · n` params and MACs.

    `blocks` are those after the stage `known_after`, in order; `unlike` says why branches cannot be made of those
    before it. Without blocks of which branches could be made `known_after` is None.

    `copies` are all blocks after the first stage, whatever they are, for branches that copy them; `end` is what the
    backbone does between them and its classifier, `layout` how their maps lie (see `hiergen.nn.Replicas`). Without
    blocks that can be copied both are None.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    backbone: str
    input_size: tuple[int, int, int]
    stages: tuple[StageFacts, ...]
    blocks: tuple[BlockFacts, ...]
    known_after: str | None
    unlike: str | None
    copies: tuple[CopyFacts, ...]
    end: CopyFacts | None
    layout: Literal["nchw", "nhwc", "nlc"] | None
    params_fixed: int
    params_per_class: int
    macs_fixed: int
    macs_per_class: int

    @property
    def tokens(self) -> int | None:
        """How many tokens a vision transformer has, those of class and registers included; None of maps."""
        return self.copies[0].width if self.layout == "nlc" and self.copies else None

    def flat(self, classes: int) -> tuple[int, int]:
        """(params, MACs) of the whole backbone with a classifier for `classes` classes."""
        return (
            self.params_fixed + self.params_per_class * classes,
            self.macs_fixed + self.macs_per_class * classes,
        )


def _check_name(backbone: str) -> None:
    """Raise PlanError for a name that timm does not have, by the text of its files: torch is not imported."""
    architecture, _, tag = backbone.partition(".")
    names, loaded = _timms_names(), sys.modules.get("timm")
    others = loaded is not None and loaded.is_model(architecture)  # registered by whom we run for
    if names and architecture not in names and not others:
        guesses = [f"{name}.{tag}" if tag else name for name in nearest(architecture, sorted(names))]
        raise PlanError(f"timm has no model {quoted(backbone)}", nearest=guesses, code="E501")


@cache
def _timms_names() -> frozenset[str]:
    """Models that timm registers, those of older names too; none where its files cannot be read."""
    spec = find_spec("timm")
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    names = set()
    for file in (file for folder in folders for file in Path(folder, "models").glob("*.py")):
        with suppress(OSError, ValueError):
            names |= {name for match in _NAMES.findall(file.read_text("utf-8")) for name in match if name}
    return frozenset(names)


def facts(
    backbone: str, size: tuple[int, int] | None = None, in_chans: int = 3, *, measure: bool = True
) -> BackboneFacts | None:
    """Facts of a backbone for images of this height and width, px (None: timm's own for it), and so many channels.

    Looks in the shipped table, then in the user's cache, then measures (`measure=False`: returns None instead).
    Raises `PlanError` for an unknown backbone, and when measuring for one without feature stages, or a size it cannot
    take.
    """
    name = backbone.split(".")[0]
    table = shipped()
    shape = _shape(size, in_chans)
    # a pretrained tag changes weights and the size of its own, no shapes at a given size
    key = table["default"].get(backbone, "") if shape == "default" else f"{name}@{shape}"
    if key in table["facts"]:
        return BackboneFacts.model_validate(table["facts"][key])
    with suppress(OutputError):  # no home: measured each time
        if (cached := read_record(_cache_file(backbone, shape), BackboneFacts)) is not None:
            return cached
    if not measure:
        _check_name(backbone)
        return None
    from hiergen.planning.measure import measure_backbone

    measured = measure_backbone(backbone, size, in_chans)
    with suppress(OutputError):  # a read-only home: measured again next time
        write_record(_cache_file(backbone, shape), measured)
    return measured


@cache
def shipped() -> dict[str, Any]:
    """The table: `facts` by "backbone@size", `default` key by backbone, with and without tag, and timm's version."""
    raw = files("hiergen.assets").joinpath("trunks.json.gz").read_bytes()
    table: dict[str, Any] = json.loads(gzip.decompress(raw))
    return table


def _shape(size: tuple[int, int] | None, in_chans: int) -> str:
    """What a key says of the images: "64" of a square in RGB, else "1x32x64"."""
    sides = "x".join(map(str, size or ())) or "default"
    if in_chans == 3 and (size is None or size[0] == size[1]):
        return sides.partition("x")[0]
    return f"{in_chans}x{sides}"


def _cache_file(backbone: str, shape: str) -> Path:
    from importlib.metadata import version

    safe = "".join(c if c.isalnum() or c in "._-" else "_" for c in backbone)[:100]
    return io.cache_home() / f"timm-{version('timm')}" / f"facts-{_FORMAT}" / f"{safe}@{shape}.json"


def write_record(path: Path, measured: BaseModel) -> None:
    """Write a checksum and JSON. Raises `OutputError`."""
    text = measured.model_dump_json()
    io.write_text(path, f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}")


def read_record(path: Path, kind: type[_Record]) -> _Record | None:
    """What `write_record` wrote; None where there is nothing whole."""
    try:
        digest, _, text = path.read_bytes().partition(b"\n")
        if digest.decode("ascii", "replace") != hashlib.sha256(text).hexdigest():
            return None
        return kind.model_validate_json(text)
    except (OSError, ValidationError):  # absent, or not whole: measure again
        return None


def find_stage(backbone_facts: BackboneFacts, until: str) -> StageFacts:
    """The stage named `until`. Raises `PlanError` that lists the stages there are."""
    for stage in backbone_facts.stages:
        if stage.name == until:
            return stage
    names = [stage.name for stage in backbone_facts.stages]
    shown = ", ".join(names) if len(names) <= 12 else f"{', '.join(names[:3])}, … {names[-1]}"
    raise PlanError(
        f"backbone {backbone_facts.backbone} has no stage {quoted(until)}", expected=f"one of {shown}", code="E502"
    )


def blocks_after(backbone_facts: BackboneFacts, until: str) -> tuple[BlockFacts, ...]:
    """The backbone's blocks after the stage `until`; none where branches cannot be made of all of them."""
    blocks = backbone_facts.blocks
    if until == backbone_facts.known_after:
        return blocks
    upto = max((i for i, block in enumerate(blocks, 1) if block.stage == until), default=len(blocks))
    return blocks[upto:]


def copies_after(backbone_facts: BackboneFacts, until: str) -> tuple[CopyFacts, ...]:
    """The blocks after the stage `until` that branches can have copies of; none where they do not follow from its
    map."""
    first = backbone_facts.stages[0].name
    ends = [first, *(block.ends for block in backbone_facts.copies)]
    return backbone_facts.copies[ends.index(until) :] if until in ends else ()


def default_stage(backbone_facts: BackboneFacts, levels: int) -> StageFacts:
    """Where to cut if the file does not say: at half the final resolution's reduction, a quarter for 3+ levels.

    Backbones of one resolution (ViT) are cut after three quarters, or half, of their blocks.
    """
    stages = backbone_facts.stages
    final = stages[-1].reduction
    if stages[0].reduction == final:
        share = 0.75 if levels < 3 else 0.5
        return stages[max(round(len(stages) * share) - 1, 0)]
    target = final // (2 if levels < 3 else 4)
    fitting = [stage for stage in stages if stage.reduction <= target]
    return fitting[-1] if fitting else stages[0]
