"""The architecture as a picture: trunk, split-points, the branches of each level, logits; shapes and costs above, and
below where the params and MACs are, beside the flat backbone."""

from __future__ import annotations

from hiergen.planning.plan import GeneralistPlan, Plan
from hiergen.views.draw.canvas import Canvas, bend, number, width
from hiergen.views.draw.colours import Theme, part, solid
from hiergen.views.draw.columns import GAP, NAME, SIDE, columns, costs_height, draw_costs, draw_table
from hiergen.views.draw.labels import branch_tip, costs_text, lines, many
from hiergen.views.draw.network import Branch, block_text, branches, class_rows, for_all, subtree_costs
from hiergen.views.draw.outline import NOTHING, Chosen

SPLIT_LABEL = "split-point"
_SHARED = 30.0  # px of the row of a branch for all classes
_SHARED_HUE = 30.0
_HUES = (250.0, 155.0, 300.0, 195.0, 340.0, 110.0)  # of levels; orange is for what is chosen


def architecture_picture(
    plan: Plan,
    chosen: Chosen = NOTHING,
    *,
    flat_of: dict[int, tuple[int, int]] | None = None,
    theme: Theme = "auto",
    family: str | None = None,
) -> str:
    """The SVG of a network. `flat_of`: number of classes → (params, MACs) of the flat backbone, for the sliced one."""
    return _Architecture(plan, chosen, flat_of or {}).text(theme, family)


class _Architecture:
    def __init__(self, plan: Plan, chosen: Chosen, flat_of: dict[int, tuple[int, int]]) -> None:
        self.plan, self.chosen, self.flat_of = plan, chosen, flat_of
        self.levels = branches(plan)
        self.rows = class_rows(plan)
        self.costs = subtree_costs(plan)
        count = len(self.rows)
        self.row = 26.0 if count <= 14 else 19.0 if count <= 40 else 13.0 if count <= 150 else max(1500 / count, 0.6)
        self.font = 11.0 if self.row >= 15 else 9.5
        self.canvas = Canvas()
        self.table = columns(plan, self.levels, self.row, self.font)
        self.columns, self.right, self.body = self.table.places, self.table.right, self.table.bottom + 14
        self.bottom = self.body + len(self.rows) * self.row
        self.shared = for_all(plan)
        self.foot = self.bottom + (len(self.shared) * _SHARED + 8 if self.shared else 0)

    def _kinds(self) -> list[str]:
        return ["flat", "p0", *(f"p{j}" for j in range(1, len(self.levels) + 2))]

    # the graph

    def text(self, theme: Theme, family: str | None) -> str:
        plan, canvas = self.plan, self.canvas
        title = f"{plan.taxonomy} {plan.model}".strip()
        canvas.text(SIDE, 26, title, 15, room=self.right - 2 * SIDE, bold=True)
        labels = lines(plan, self.levels, self.chosen)
        canvas.text(SIDE, 43, labels[0], 11, "dim", room=self.right - 2 * SIDE)
        draw_table(canvas, self.table, self._kinds())
        middle = (self.body + self.bottom) / 2
        self._links(middle)
        self._image(middle)
        self._trunk(middle)
        for level in self.levels:
            for branch in level:
                self._branch(branch)
        self._logits()
        for i, (name, part_) in enumerate(self.shared):
            self._for_all(name, part_, self.bottom + 8 + (i + 0.5) * _SHARED, middle)
        self._split_points(middle)
        bottom = self.foot + 34
        for line in labels[1:]:
            canvas.text(SIDE, bottom + 6, line, 10.5, "dim", room=self.right - 2 * SIDE)
            bottom += 16
        draw_costs(canvas, plan, self.chosen, self.flat_of, SIDE, bottom + 8, self.right - SIDE)
        bottom += 8 + costs_height(plan, self.chosen, self.flat_of)
        return canvas.document(
            self.right, bottom + 8, title=title, labels=labels, theme=theme, fills=self._fills(), family=family
        )

    def _fills(self) -> dict[str, tuple[str, str]]:
        fills = {".p0": part(255, 0.03), ".q0": solid(255, 0.03)}
        for j in range(1, len(self.levels) + 2):
            hue = _HUES[(j - 1) % len(_HUES)] if j <= len(self.levels) else 85.0
            fills |= {f".p{j}": part(hue), f".q{j}": solid(hue)}
        if self.shared:
            fills[f".p{len(self.levels) + 2}"] = part(_SHARED_HUE)
        return fills

    def _y(self, branch: Branch) -> float:
        return self.body + (branch.first + branch.end) / 2 * self.row

    def _height(self, branch: Branch) -> float:
        """All branches of a level are alike, where there is room."""
        spans = [b.end - b.first for b in self.levels[branch.level - 1]]
        most = 34.0 if branch.level < len(self.levels) else 24.0
        alike = min(most, min(spans) * self.row * 0.82)
        return alike if alike >= 9 else min(most, (branch.end - branch.first) * self.row * 0.82)

    def _image(self, middle: float) -> None:
        x, _ = self.columns[0]
        for shift in (8, 4, 0):  # three channels
            self.canvas.box(x + shift, middle - 24 - shift, 44, 44, "flat", round_=3)

    def _trunk(self, middle: float) -> None:
        """A body that narrows as its maps do."""
        x, w = self.columns[1]
        high = min(max((self.bottom - self.body) * 0.75, 110), 320)
        wide, narrow = high / 2, max(high / 5, 26)
        points = (
            f"M{number(x)} {number(middle - wide)}L{number(x + w)} {number(middle - narrow)}V{number(middle + narrow)}"
        )
        tip = f"trunk {self.plan.trunk.backbone} up to {self.plan.trunk.until}, shared by all classes"
        costs = costs_text(self.plan.trunk.params, self.plan.trunk.macs)
        with self.canvas.node("trunk", f"{tip}: {costs}", level=0):
            self.canvas.path(f"{points}L{number(x)} {number(middle + wide)}Z", "p0")
            self.canvas.text(x + w / 2, middle - 3, "trunk", 12, anchor="middle", bold=True)
            self.canvas.text(x + w / 2, middle + 12, "shared by all", 10, "dim", anchor="middle")

    def _links(self, middle: float) -> None:
        x, w = self.columns[1]
        image = self.columns[0][0] + 44
        self.canvas.path(f"M{number(image + 8)} {number(middle)}H{number(x)}", "line", stroke=1.5)
        drawn: list[tuple[str, str]] = []
        for j, level in enumerate(self.levels):
            for branch in level:
                start = (x + w, middle) if j == 0 else self._end(self.levels[j - 1][branch.parent])
                split = (start[0] + 12, start[1])
                end = (self.columns[2 + j][0], self._y(branch))
                state = self.chosen.state(branch.classes)
                drawn.append((state, f"M{number(start[0])} {number(start[1])}H{number(split[0])}{bend(split, end)}"))
        thin = 1.1 if self.row >= 5 else 0.5
        for state, d in sorted(drawn, key=lambda each: (each[0] == "hot", each[0] != "cut")):
            kind = {"hot": "hotline", "cut": "cutline"}.get(state, "line")
            self.canvas.path(d, kind, stroke=2.2 if state == "hot" else thin)

    def _end(self, branch: Branch) -> tuple[float, float]:
        x, w = self.columns[1 + branch.level]
        return x + w, self._y(branch)

    def _split_points(self, middle: float) -> None:
        """A dot where a map is read by several branches, and the number of the split-point below."""
        x, w = self.columns[1]
        for j in range(len(self.levels)):
            if j == 0:
                places = [((x + w, middle), self.chosen.state(range(len(self.rows))))]
            else:
                places = [(self._end(b), self.chosen.state(b.classes)) for b in self.levels[j - 1]]
            for (end, y), state in places:
                kind = {"hot": "hotdot", "cut": "cutdot"}.get(state, "dot")
                self.canvas.dot(end + 12, y, 3.2 if self.row >= 5 else 1.6, kind)
            label = f"{SPLIT_LABEL} {j + 1}"
            self.canvas.text(places[0][0][0] + GAP / 2, self.foot + 18, label, 9, "dim", anchor="middle")

    def _branch(self, branch: Branch) -> None:
        x, w = self.columns[1 + branch.level]
        y, h, state = self._y(branch), self._height(branch), self.chosen.state(branch.classes)
        kind = {"hot": f"p{branch.level} hotbox", "cut": "cutbox"}.get(state, f"p{branch.level}")
        facts: dict[str, object] = {"level": branch.level, "branch": branch.index}
        if branch.class_id:
            facts |= {"class": branch.class_id, "logit": branch.classes[0]}
        with self.canvas.node(
            branch.name, branch_tip(self.plan, self.levels, branch, self.costs[branch.level, branch.index]), **facts
        ):
            stroke = 2.0 if state == "hot" else 1.0 if h >= 9 else 0.4 if h >= 2 else 0
            self.canvas.box(x, y - h / 2, w, h, kind, round_=4 if h >= 9 else 0, stroke=stroke)
            if h >= 9:
                size = min(self.font, h - 1)
                blocks = self._blocks(branch, x, y, h) if h >= 13 else 0.0
                ink = "cuttext" if state == "cut" else ""
                bold = state == "hot"
                self.canvas.text(x + 8, y + size * 0.36, branch.name, size, ink, room=w - 16 - blocks, bold=bold)

    def _for_all(self, name: str, shared: GeneralistPlan, y: float, middle: float) -> None:
        """A branch for all classes, from the trunk past all levels; a cutout of specialists leaves it out."""
        cut = self.chosen.kept is not None
        trunk, wide = self.columns[1]
        left, right, high = self.columns[2][0], sum(self.columns[-2]), _SHARED - 8
        start = (trunk + wide + 12, middle)
        self.canvas.path(f"M{number(start[0])} {number(middle)}{bend(start, (left, y))}", "cutline" if cut else "line")
        costs = costs_text(shared.params, shared.macs)
        blocks = " + ".join(block_text(stage) for stage in shared.stages)
        logits = many(shared.classes, "logit")
        tip = f"{name}, one branch for all classes: {blocks}; {logits}, {costs} with its classifier"
        with self.canvas.node(name, tip, shared=shared.classes):
            kind = "cutbox" if cut else f"p{len(self.levels) + 2}"
            self.canvas.box(left, y - high / 2, right - left, high, kind, round_=4)
            room, ink = right - left - 16, "cuttext" if cut else ""
            text = f"{name} for all {many(shared.classes, 'class', 'classes')}"
            self.canvas.text(left + 8, y + 4, text, self.font, ink, room=room, bold=True)
            used = width(text, self.font, bold=True) + 14
            if room - used > 90:
                self.canvas.text(left + 8 + used, y + 4, costs, 9.5, ink or "dim", room=room - used)
        x = self.columns[-1][0]
        self.canvas.path(f"M{number(right)} {number(y)}H{number(x)}", "cutline" if cut else "line")
        self.canvas.text(x + 4, y + 4, logits, 10, "cuttext" if cut else "dim")

    def _blocks(self, branch: Branch, x: float, y: float, h: float) -> float:
        """Its blocks as strokes at the right end, as many as it has; px that they take."""
        level = self.plan.levels[branch.level - 1]
        depth = sum(stage.depth for stage in level.stages)
        state = self.chosen.state(branch.classes)
        kind = {"cut": "cutdot"}.get(state, f"q{branch.level}")
        w = self.columns[1 + branch.level][1]
        if depth > 12:
            return 0.0
        at, tall = x + w - 7 - 5 * depth, min(h - 8, 14)
        for stage in level.stages:
            for _ in range(stage.depth):
                self.canvas.box(at, y - tall / 2, 3, tall, kind, round_=1, stroke=0)
                at += 5
        return 5.0 * depth + 8

    def _logits(self) -> None:
        """A dot for each class, and names where branches do not have them."""
        x = self.columns[-1][0]
        homes = self.plan.head_parents or tuple(range(len(self.plan.classes)))
        radius = 4.0 if self.row >= 12 else 3.0 if self.row >= 9 else max(self.row * 0.4, 0.3)
        for row, c in enumerate(self.rows):
            y = self.body + (row + 0.5) * self.row
            state = self.chosen.state((c,))
            kind = {"hot": "hotdot", "cut": "cutdot"}.get(state, f"q{len(self.levels) + 1}")
            link = {"hot": "hotline", "cut": "cutline"}.get(state, "line")
            start = self._end(self.levels[-1][homes[c]])
            self.canvas.path(bend(start, (x, y)), link, stroke=2.0 if state == "hot" else min(1.0, self.row / 4))
            if self.plan.single_branch:
                name, label = (
                    self.plan.nesting.labels[c],
                    f"{self.plan.nesting.labels[c]} ({self.plan.classes[c]}), logit {c}",
                )
                with self.canvas.node(name, label, **{"class": self.plan.classes[c], "logit": c}):
                    self.canvas.dot(x + radius, y, radius, kind)
                    if self.row >= 9:
                        ink = {"hot": "hottext", "cut": "cuttext"}.get(state, "")
                        self.canvas.text(x + 14, y + self.font * 0.36, name, self.font, ink, room=NAME)
            else:
                self.canvas.dot(x + radius, y, radius, kind)
        if not self.plan.single_branch and len(self.rows) > 1:
            edge, top, bottom = (
                x + 2 * radius + 5,
                self.body + self.row / 2 - radius,
                self.bottom - self.row / 2 + radius,
            )
            d = f"M{number(edge)} {number(top)}h5V{number(bottom)}h-5"
            self.canvas.path(d, "line")
            self.canvas.text(edge + 11, (top + bottom) / 2 + 4, "softmax", 10.5, "dim")
