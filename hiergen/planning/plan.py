"""The plan: everything about one network, decided and counted, before any of it is built. Frozen, JSON-ready.

Params count weights and biases; MACs are for one image (one multiply-add = 1; convolutions and linear layers).
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from hiergen.taxonomy.nesting import Nesting


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CopyPlan(_Frozen):
    """Modules of timm's `backbone` at this input size, and with `end` what it does after them, up to its classifier;
    what ONE branch's copy costs, and the height and width of the map after it, px."""

    backbone: str
    modules: tuple[str, ...]
    end: bool
    input_size: tuple[int, int, int]
    params: int
    macs: int
    height: int
    width: int


class StagePlan(_Frozen):
    """`depth` blocks; the first takes `stride` and goes from `in_channels` to `out`.

    `kernel`, `act` and `tf` (TensorFlow's padding and eps) are of inverted residuals only, `copied` of copies.
    """

    block: str
    in_channels: int
    width: int
    out: int
    depth: int
    stride: int
    kernel: int | None = None
    act: Literal["relu", "relu6", "silu"] | None = None
    tf: bool = False
    copied: CopyPlan | None = None

    @model_serializer(mode="wrap")
    def _plain(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without options that the block lacks: the hash of a plan stays as it was before they came."""
        fields: dict[str, Any] = dump(self)
        return {key: value for key, value in fields.items() if key not in ("kernel", "act", "tf", "copied") or value}


class TrunkPlan(_Frozen):
    """timm's `backbone` cut after `until`: (B, *input_size) → (B, channels, height, width).

    `flat_*`: the whole backbone with a classifier for the same number of classes. With `tokens` the map is 1 × the
    tokens of a vision transformer.
    """

    backbone: str
    until: str
    input_size: tuple[int, int, int]
    channels: int
    reduction: int
    height: int
    width: int
    params: int
    macs: int
    flat_params: int
    flat_macs: int
    tokens: bool = False

    @model_serializer(mode="wrap")
    def _plain(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without tokens where it hands a map over: the hash of a plan stays as it was before they came."""
        fields: dict[str, Any] = dump(self)
        return {key: value for key, value in fields.items() if key != "tokens" or value}


class LevelPlan(_Frozen):
    """One level of siblings: all branches have the same stages.

    `parents[i]` is the branch of the level above that branch i reads (empty on level 1: all read the trunk).
    `branch_params` and `branch_macs` are of one branch. `names[i]` is the group or class of branch i; siblings
    are side by side.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    stages: tuple[StagePlan, ...]
    channels: int
    height: int
    width: int
    branch_params: int
    branch_macs: int

    @property
    def branches(self) -> int:
        return len(self.names)

    @property
    def params(self) -> int:
        return self.branches * self.branch_params

    @property
    def macs(self) -> int:
        return self.branches * self.branch_macs


class GeneralistPlan(_Frozen):
    """The branch for all classes. `columns` and `homes` are those of a cutout, see `hiergen.nn.Generalist`."""

    stages: tuple[StagePlan, ...]
    classes: int
    groups: int
    params: int
    macs: int
    columns: tuple[int, ...] | None = None
    homes: tuple[int, ...] | None = None


class Plan(_Frozen):
    """One network.

    `classes` are the nesting's ids, in logit order.
    `head_parents[i]` is the last-level branch that class i reads (empty: branch i).
    """

    taxonomy: str
    model: str
    nesting: Nesting
    trunk: TrunkPlan
    levels: tuple[LevelPlan, ...]
    head_parents: tuple[int, ...]
    generalist: GeneralistPlan | None = None
    flat: GeneralistPlan | None = None

    @model_serializer(mode="wrap")
    def _plain(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without branches for all classes that are not there: the hash of a plan stays as it was before they came."""
        fields: dict[str, Any] = dump(self)
        return {key: value for key, value in fields.items() if key not in ("generalist", "flat") or value is not None}

    @property
    def for_all(self) -> tuple[GeneralistPlan, ...]:
        """The branches for all classes: a generalist, the flat network's tail."""
        return tuple(plan for plan in (self.generalist, self.flat) if plan is not None)

    @property
    def classes(self) -> tuple[str, ...]:
        return self.nesting.classes

    @property
    def single_branch(self) -> bool:
        """Whether all classes share one branch (PHL1branch): then no part is a class's own."""
        return self.levels[-1].branches < len(self.classes)

    @property
    def head_params(self) -> int:
        return len(self.classes) * (self.levels[-1].channels + 1)

    @property
    def head_macs(self) -> int:
        return len(self.classes) * self.levels[-1].channels

    @property
    def params(self) -> int:
        """Of all parts."""
        own = self.trunk.params + sum(level.params for level in self.levels) + self.head_params
        return own + sum(plan.params for plan in self.for_all)

    @property
    def macs(self) -> int:
        """Of the specialists' form: the trunk and all branches of groups and classes."""
        return self.trunk.macs + sum(level.macs for level in self.levels) + self.head_macs

    def answering(self, form: str) -> tuple[int, int]:
        """(params, MACs) of what a form runs; "both": at most, as an image runs one group's branches."""
        branch = None if form == "specialists" else self.flat if form == "flat" else self.generalist
        params, macs = (branch.params, branch.macs) if branch else (0, 0)
        if form in ("specialists", "both"):
            return self.params - sum(plan.params for plan in self.for_all) + params, self.macs + macs
        gains = branch.groups if branch else 0  # of the form "both" only
        return self.trunk.params + params - gains, self.trunk.macs + macs

    def cutout_cost(self, kept: frozenset[int]) -> tuple[int, int]:
        """(params, MACs) of the cutout of these class indices: trunk, and the paths that lead to them."""
        params, macs = self.trunk.params, self.trunk.macs
        branches = {self.head_parents[c] if self.head_parents else c for c in kept}
        for level in reversed(self.levels):
            params += len(branches) * level.branch_params
            macs += len(branches) * level.branch_macs
            branches = {level.parents[b] for b in branches} if level.parents else set()
        head = len(kept) * self.levels[-1].channels
        return params + head + len(kept), macs + head
