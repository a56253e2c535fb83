"""A network whose high levels are a tree of branches, under timm's contract."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from os import PathLike
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from hiergen.errors import HiergenError, quoted
from hiergen.lookup.select import ClassSelection, Node, Selector
from hiergen.nn.contract import TimmContract
from hiergen.nn.gains import Gains, attended, gains_in_force, is_at_rest, node_gains
from hiergen.nn.generalist import FORMS, ONE_BRANCH, Form, Generalist
from hiergen.nn.lowering import KINDS, Lowering
from hiergen.nn.routing import Route, form_logits, generalist_of, route, routed_logits
from hiergen.taxonomy.nesting import Nesting

if TYPE_CHECKING:
    from hiergen.nn.pictures import Picture
    from hiergen.nn.plain import PlainNetwork
    from hiergen.nn.predict import Recognition
    from hiergen.nn.rejection import Rejection
    from hiergen.nn.serve import Server
    from hiergen.nn.takeover import TakenOver


class HierarchicalNetwork(TimmContract):
    """Trunk, then k levels of branches, then one logit per class: `(B, 3, H, W)` to `(B, classes)`.

    A subclass names its `nesting` and its `input_size`, and assigns `trunk`, `level1` … `levelk` and `head` in
    `__init__`. `classes` are the nesting's, in the order of the logits. A subclass of 0.1 names in its place a
    `taxonomy` (group name → subtree, class id → class name) and `classes`.
    Source: Kelm et al., arXiv 2308.05128, Eqs. 1 and 2.
    """

    nesting: Nesting
    generalist: Generalist | None
    flat: Generalist | None

    _active: tuple[int, ...] | None = None
    _form: Form = "specialists"
    choice: Mapping[str, Form] = MappingProxyType({})  # group → what its cutout is, by the end of a training
    rejection: Rejection | None = None  # which images show none of its classes, in the form that it has

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.register_module("generalist", None)  # a subclass may assign them
        self.register_module("flat", None)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if isinstance(tree := vars(cls).get("taxonomy"), Mapping):
            cls.nesting = Nesting.from_tree(tree, cls.classes)
            del cls.taxonomy
        if "nesting" in vars(cls):
            cls.classes = cls.nesting.classes

    @property
    def taxonomy(self) -> dict[str, Any]:
        """group → … → class id → class name. Networks of 0.1 set it, after `classes`."""
        return self.nesting.tree()

    @taxonomy.setter
    def taxonomy(self, tree: Mapping[str, Any]) -> None:
        self.nesting = Nesting.from_tree(tree, self.classes)

    def forward(self, x: Tensor, classes: ClassSelection | Tensor | None = None) -> Tensor:
        """Logits `(B, classes)`; with `classes`, or while `active` is set, of the chosen classes only, in the order of
        the full network's logits: only their paths run.

        `classes` may differ by sample: a list of B selections or a bool mask `(B, classes)`. Then the answer has all
        columns, and -inf where a class was not asked for; a softmax is over each sample's own classes.
        Raises HiergenError for classes that are not there.
        """
        if (gains := self._gains) is not None:
            gains.check_batch(x.shape[0])
        masks = self._per_sample(classes, x.shape[0])
        chosen = None if masks is not None else self._chosen(classes)
        if (form := self._form) != "specialists":
            return form_logits(self, self.trunk(x), masks, chosen, form)
        if masks is not None:
            return routed_logits(self, self.trunk(x), masks)
        taken = None if chosen is None else route(self, chosen)
        return self._logits(self._maps(self.trunk(x), taken, pool=True), taken)

    def forward_features(self, x: Tensor) -> Tensor:
        """Maps of the last level's branches, `(B, N, C, H, W)`; while `active` is set, of those that its classes
        need. In the forms "generalist" and "flat" those of their one branch."""
        if self._form in ONE_BRANCH:
            return generalist_of(self).tail(self.trunk(x))  # type: ignore[no-any-return]
        if (gains := self._gains) is not None:
            gains.check_batch(x.shape[0])
        return self._maps(self.trunk(x), self._route(None), pool=False)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Logits `(B, classes)`, or with `pre_logits` the pooled features `(B, N, C)`. Raises HiergenError in the form
        "both", whose logits are not those of one branch."""
        pooled = x.mean((-2, -1))
        if pre_logits:
            return pooled
        if self._form == "both":
            raise HiergenError("the form 'both' has no head of its own", hint="call the network itself")
        if self._form in ONE_BRANCH:
            logits: Tensor = generalist_of(self).head(pooled)
            return logits if (chosen := self._chosen(None)) is None else logits[:, list(chosen)]
        return self._logits(pooled, self._route(None))

    def embed(self, x: Tensor, level: int | None = None) -> Tensor:
        """Embeddings of images `(B, D)`, to search or cluster by: maps, averaged over their pixels, side by side.

        `level` 0: the trunk's, D its channels; 1 … k: of all branches of that level, of which classes below one group
        share what the group's gives. Default: what the logits are read from, timm's `forward_head(…, pre_logits=True)`:
        of the forms "generalist" and "flat" their one branch's, else the last level's (of many classes, long).
        Raises HiergenError for a level that is not there.
        """
        if level is None:
            return self.forward_head(self.forward_features(x), pre_logits=True).flatten(1)
        if isinstance(level, bool) or not 0 <= level <= len(self.levels):
            raise HiergenError(f"there is no level {level}", expected=f"0 (the trunk) … {len(self.levels)}")
        if (gains := self._gains) is not None:
            gains.check_batch(x.shape[0])
        return self._maps(self.trunk(x), self._route(None), pool=False, depth=level).mean((-2, -1)).flatten(1)

    def _maps(self, x: Tensor, taken: Route | None, *, pool: bool, depth: int | None = None) -> Tensor:
        """From the trunk's maps to those of the last level, or their means; or of level `depth`, 0 the trunk."""
        levels, steering = self.levels[:depth], self._gains
        for j, level in enumerate(levels):
            branches, maps = (None, None) if taken is None else taken.levels[j]
            gains, after = steering.of_level(j) if steering else (None, None)
            last = pool and j == len(levels) - 1
            x = level(x, branches=branches, maps=maps, gains=gains, after=after, pool=last)
        return x

    def _logits(self, pooled: Tensor, taken: Route | None) -> Tensor:
        logits: Tensor = (
            self.head(pooled) if taken is None else self.head(pooled, classes=taken.classes, rows=taken.rows)
        )
        return logits

    # choosing classes

    @cached_property
    def selector(self) -> Selector:
        """Finds classes and nodes by index, id, name, group or WordNet term."""
        return Selector(self.nesting)

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All branches, level by level: the columns of per-sample gains."""
        names = [self.nesting.names(j) for j in range(1, self.nesting.depth + 1)]
        return tuple(Node(j, i, name) for j, level in enumerate(names, 1) for i, name in enumerate(level))

    @property
    def active(self) -> tuple[str, ...] | None:
        """Ids of the classes that `model(x)` computes; None: all. Set it to any selection; no weight is copied."""
        return None if self._active is None else tuple(self.classes[c] for c in self._active)

    @active.setter
    def active(self, wanted: ClassSelection | None) -> None:
        self._active = None if wanted is None else self.selector.classes(wanted)

    @property
    def _in_force(self) -> tuple[int, ...] | None:
        """The active classes, unless the network is at rest."""
        return None if is_at_rest(self) else self._active

    @property
    def form(self) -> Form:
        """What the network answers with: its "specialists", the branches of groups and classes; its "generalist", the
        branch for all of them; "both", the generalist's logits plus, of the group that is likeliest by these, the
        specialist's times the group's gain; or "flat", the flat network's own tail, for all classes too. Networks
        without a generalist have their specialists only.

        A cutout, a plain form and an export are of the form that the network has.
        """
        return self._form

    @form.setter
    def form(self, form: Form) -> None:
        if form not in FORMS:
            raise HiergenError("no such form", expected=", ".join(FORMS), got=quoted(str(form)))
        if form != "specialists":
            generalist_of(self, form)
        if form != self._form:
            self.rejection = None  # it was fitted to the other form's logits
        self._form = form

    def predict(
        self,
        images: Picture | Iterable[Picture],
        *,
        classes: ClassSelection | None = None,
        top: int = 5,
        batch_size: int = 64,
    ) -> Recognition | list[Recognition]:
        """What the network says of one picture, or a list of that for several: the likeliest groups and classes, at
        most `top` of each level, with probabilities; a group's is the sum over its classes.

        A picture is a path or an open file, a PIL image, an array or tensor of pixels (uint8, `(H, W, C)` or
        `(C, H, W)`), or a tensor that `preprocess` gave, `(C, H, W)`; `(B, C, H, W)` are several. With `classes`, or
        while `active` is set, only these run and share the probability. In eval mode, whatever mode the network is in;
        gains of `attend` act. Raises HiergenError for what cannot be read, classes that are not there, and logits that
        are not finite.

        >>> answer = network.predict(images[0])
        >>> answer.best == answer.classes[0] == answer.path[-1]
        True
        """
        from hiergen.nn.predict import predict  # it reads pictures

        return predict(self, images, classes=classes, top=top, batch_size=batch_size)

    def save_pretrained(self, folder: str | PathLike[str], **options: Any) -> None:
        """Write weights, plan, classes, transform and a card into a folder, as `hiergen.save_pretrained` does."""
        _of_package("save_pretrained")(self, folder, **options)

    def push_to_hub(self, repository: str, **options: Any) -> str:
        """Send the same to Hugging Face's hub, as `hiergen.push_to_hub` does; the address."""
        return _of_package("push_to_hub")(self, repository, **options)  # type: ignore[no-any-return]

    @classmethod
    def from_pretrained(cls, source: str | PathLike[str], **options: Any) -> Self:
        """The network of such a folder or repository, as `hiergen.from_pretrained` gives it; of a generated class, that
        class with its weights.

        >>> network.save_pretrained("pets")
        >>> HierarchicalNetwork.from_pretrained("pets").classes == network.classes
        True
        """
        return _of_package("from_pretrained")(source, cls=cls, **options)  # type: ignore[no-any-return]

    def cutout(self, classes: ClassSelection) -> HierarchicalNetwork:
        """The sub-network of these classes, with copies of their weights (Eq. 3): its logits are this network's, in the
        form that it has.

        Classes by index, id, name, group or WordNet term. Raises HiergenError for unknown, no, or all classes.

        >>> cats = network.cutout("domestic cat")
        """
        from hiergen.nn.cutout import cut  # it builds networks

        return cut(self, self.selector.classes(classes))

    def graft(self, *others: HierarchicalNetwork, put_back: bool = False) -> HierarchicalNetwork:
        """This network with the classes of others that stand on the same trunk, and their branches; copies. With
        `put_back` classes that this one has too are taken from the others. See `hiergen.nn.graft.graft`, also for what
        it raises.

        >>> both = network.cutout("tabby").graft(network.cutout("dog"))
        """
        from hiergen.nn.graft import graft  # it builds networks

        return graft([self, *others], put_back=put_back)

    def shrink(self, classes: ClassSelection) -> HierarchicalNetwork:
        """This network without these classes, in all its forms: nothing of them is left; copies. Raises HiergenError
        for unknown, no, or all classes.

        >>> dogs = network.shrink("domestic cat")
        """
        from hiergen.nn.graft import shrink  # it builds networks

        return shrink(self, classes)

    def take_over(self, other: HierarchicalNetwork) -> TakenOver:
        """Copy into this network what another, built from an earlier state of its taxonomy, has by the same names and
        in the same shapes: trunk, branches, rows. See `hiergen.nn.takeover.take_over`, also for what it raises.

        >>> type(network)().take_over(network).classes == network.classes
        True
        """
        from hiergen.nn.takeover import take_over  # it knows networks

        return take_over(self, other)

    def plain(self, *, steerable: bool = False, open_size: bool = False, grid: int = 16) -> PlainNetwork:
        """The plain form of this network in eval mode, for deployment: `nn.Conv2d` on maps `(B, n·C, H, W)`, norms in
        the kernels. Its weights are copies; its logits are this network's, to rounding.

        It has the `active` classes only, and the gains of `attend` in force; `steerable` makes those an input,
        `(1 or B, nodes)`. `open_size` lets trunks that pad as TensorFlow does take images of any size. Branches get
        channels of zeros up to multiples of `grid`, where these are few: kernels of CPUs want 16.
        Raises HiergenError for gains by sample.

        >>> logits = network.plain()(images)
        """
        from hiergen.nn.plain import plain_network  # it knows networks

        return plain_network(self, steerable=steerable, open_size=open_size, grid=grid)

    def serve(self, *, max_batch: int = 16, wait_ms: float = 2.0) -> Server:
        """A server of this network as it is now, in eval mode, inside this process: threads ask it for an image's
        logits of some classes, and requests for different classes share a batch.

        A batch has at most `max_batch` images; its first waits `wait_ms` for the others. `active` and the gains of
        `attend` do not act on it. Raises HiergenError for numbers that cannot be.

        >>> with network.serve() as server:
        ...     logits, classes, names = server(images[0], "domestic cat")
        """
        from hiergen.nn.serve import Server  # it knows networks

        return Server(self, max_batch=max_batch, wait_ms=wait_ms)

    def _chosen(self, classes: ClassSelection | Tensor | None) -> tuple[int, ...] | None:
        """Indices of the classes that are asked for; None: all."""
        chosen = self._in_force if classes is None else self.selector.classes(classes)
        return None if chosen is None or len(chosen) == self.num_classes else chosen

    def _route(self, classes: ClassSelection | Tensor | None) -> Route | None:
        return None if (chosen := self._chosen(classes)) is None else route(self, chosen)

    def _per_sample(self, classes: ClassSelection | Tensor | None, batch: int) -> Tensor | None:
        """Class sets of each sample as a mask `(B, classes)`, if that is what `classes` is."""
        if getattr(classes, "ndim", 1) == 2:
            classes = torch.as_tensor(classes)
            if classes.dtype != torch.bool or classes.shape != (batch, self.num_classes):
                raise HiergenError(
                    "class sets by sample need a bool mask",
                    expected=f"({batch}, {self.num_classes})",
                    got=f"{classes.dtype} {tuple(classes.shape)}",
                )
            mask = classes
        elif isinstance(classes := _listed(classes), Sequence) and any(_is_set(c) for c in classes):
            if not all(_is_set(c) for c in classes):
                raise HiergenError("class sets by sample are all lists", expected='[["cat"], ["dog", 3]]')
            if len(classes) != batch:
                raise HiergenError("class sets by sample need one for each", expected=str(batch), got=str(len(classes)))
            mask = torch.zeros(batch, self.num_classes, dtype=torch.bool)
            for row, wanted in zip(mask, classes, strict=True):
                if terms := list(wanted):
                    row[list(self.selector.classes(terms))] = True
        else:
            return None
        if self.training:
            raise HiergenError(
                "class sets by sample would give every branch batch statistics of its own", hint="model.eval()"
            )
        return mask

    # steering

    @contextmanager
    def attend(self, gains: Mapping[int | str, float | Tensor] | Tensor, *, after: int | None = None) -> Iterator[Self]:
        """Top-down attention: multiply the maps of classes or groups inside their branches, while the block runs.

        The block acts on calls of this network in its own context (`contextvars`): a thread or an asyncio task sees
        neither the gains of others nor, a new thread, those of the one that started it. A generator shares its
        caller's context. Blocks may end in any order; none outlives its end. `active` belongs to the network.

        `gains`: term → gain (a number, or `(B,)` by sample), or a tensor `(nodes,)` or `(B, nodes)` in the order of
        `nodes`. A term is a group (its branch) or a class (its own); a WordNet term without a group of its own means
        its classes. Above 1 excites, below 1 inhibits, 1 changes nothing. They act after block `after` of the branch
        (1 …; default: the middle one, see `Siblings.default_block`). Nested blocks multiply.
        Raises HiergenError for an unknown term, a gain that is negative or not finite, or a block that is not there.
        Source: Kelm et al., arXiv 2308.05128, top-down attention.

        >>> with network.attend({"domestic cat": 1.4, "dog": 0.7}):
        ...     logits = network(images)
        """
        if self._form in ONE_BRANCH:
            raise HiergenError(f"the form {quoted(self._form)} has no features of groups and classes to attend to")
        steering = node_gains(self, gains, after)
        steering.times(self._gains)  # or they cannot be nested
        with attended(self, steering):
            yield self

    @property
    def _gains(self) -> Gains | None:
        """What acts on a call here and now."""
        return gains_in_force(self)

    def tune(self, batch: int = 1) -> list[dict[Lowering, float]]:
        """Measure how each level runs fastest here, for a batch of this size and the present mode (`train()`: forward
        and backward), and save it: "auto" uses it from now on, also in later processes.

        Returns median milliseconds by lowering for each level. Raises OSError if the choice cannot be saved.
        """
        parameter = self.head.weight
        x = torch.randn(batch, self.trunk.out_channels, *self.trunk.map_size).to(parameter)
        times = []
        for level in self.levels:
            times.append(level.tune(x))
            x = torch.randn(batch, level.branches, level.out_channels, *level.map_size(*x.shape[-2:])).to(parameter)
        return times

    def set_lowering(self, lowering: Lowering | str) -> Self:
        """Execute all levels in one way ("loop", "matmul", "grouped", a `Lowering`), or as "auto" chooses."""
        for level in self.levels:
            level.lowering = "auto" if lowering == "auto" else _lowering(lowering)
        return self


def _of_package(name: str) -> Callable[..., Any]:
    """A function of the package, which knows networks. Raises HiergenError in a file that stands alone."""
    try:
        import hiergen

        return getattr(hiergen, name)  # type: ignore[no-any-return]
    except ImportError:
        raise HiergenError(f"{name} needs hiergen itself", hint="pip install hiergen") from None


def _listed(classes: Any) -> Any:
    """A numpy array of objects as a list; anything else as it is."""
    of_objects = isinstance(classes, Iterable) and str(getattr(classes, "dtype", "")) == "object"
    return list(classes) if of_objects else classes


def _is_set(classes: object) -> bool:
    """Whether it is a class set of one sample, not a term: a list, a set, an array, a tensor, a range …"""
    return isinstance(classes, Iterable) and not isinstance(classes, str | bytes) and getattr(classes, "ndim", 1) > 0


def _lowering(lowering: Lowering | str) -> Lowering:
    if isinstance(lowering, Lowering):
        return lowering
    if lowering not in KINDS:
        raise HiergenError("no such lowering", expected=f"auto, {', '.join(KINDS)} or a Lowering", got=quoted(lowering))
    return Lowering(lowering)
