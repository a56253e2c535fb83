"""The page's stylesheet by itself: which colours a control has in a state, and their contrast, without a browser."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files

_PAGE = files("hiergen.views.explore").joinpath("page")
Colours = dict[str, str]


@dataclass(frozen=True)
class Rule:
    """One selector of a rule; `media` is "" outside of any."""

    media: str
    selector: str
    style: Mapping[str, str]

    @property
    def weight(self) -> tuple[int, int, int]:
        """Its specificity."""
        text = self.selector.replace(":not", "")
        ids, names = len(re.findall(r"#[\w-]+", text)), len(re.findall(r"\.[\w-]+|\[|(?<!:):\w", text))
        return ids, names, len(re.findall(r"(?:^|[\s>(])[a-z]", text))


@dataclass(frozen=True)
class Control:
    """What may be matched: a tag, an id, classes, attributes, and states like "hover"."""

    tag: str
    id: str = ""
    classes: frozenset[str] = frozenset()
    attributes: frozenset[tuple[str, str]] = frozenset()
    states: frozenset[str] = frozenset()

    def matches(self, compound: str) -> bool:
        """Whether it is what a selector without spaces names."""
        for other in re.findall(r":not\(([^)]*)\)", compound):
            if self.matches(other):
                return False
        rest = re.sub(r":not\([^)]*\)", "", compound)
        if "::" in rest:
            return False
        tag = re.match(r"[a-z][\w-]*|\*", rest)
        return (
            (tag is None or tag[0] in ("*", self.tag))
            and all(one == self.id for one in re.findall(r"#([\w-]+)", rest))
            and self.classes.issuperset(re.findall(r"\.([\w-]+)", rest))
            and self.attributes.issuperset(re.findall(r"\[([\w-]+)=\"([^\"]*)\"\]", rest))
            and self.states.issuperset(re.findall(r"(?<!:):([\w-]+)", rest))
        )


def rules() -> list[Rule]:
    """All rules in their order; in a media query too."""
    text = re.sub(r"/\*.*?\*/", "", _PAGE.joinpath("page.css").read_text("utf-8"), flags=re.S)
    return list(_rules(text, ""))


def _rules(text: str, media: str) -> Iterator[Rule]:
    at = 0
    while (start := text.find("{", at)) >= 0:
        depth, end = 1, start + 1
        while depth:
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        head, body, at = text[at:start].strip(), text[start + 1 : end - 1], end
        if head.startswith("@media"):
            yield from _rules(body, head.removeprefix("@media").strip())
            continue
        pairs = [entry.split(":", 1) for entry in body.split(";") if ":" in entry]
        style = {key.strip(): value.strip() for key, value in pairs}
        for selector in re.split(r",(?![^(]*\))", head):
            yield Rule(media, selector.strip(), style)


def schemes(every: list[Rule]) -> dict[str, Colours]:
    """The variables of the light and the dark scheme."""
    light = next(r.style for r in every if r.selector == ":root")
    dark = [r.style for r in every if r.selector.startswith(":root") and r.style.get("color-scheme") == "dark"]
    assert len(dark) == 2  # by the system, by the button
    assert dark[0] == dark[1]
    return {"light": dict(light), "dark": {**light, **dark[0]}}


def controls() -> set[Control]:
    """Every button, field and row that the page's markup or scripts make."""
    found = set()
    markup = _PAGE.joinpath("body.html").read_text("utf-8")
    for tag, text in re.findall(r"<(button|select|input|summary|a)\b([^>]*)>", markup):
        found.add(_control(tag, dict(re.findall(r"([\w-]+)=\"([^\"]*)\"", text))))
    for entry in _PAGE.iterdir():
        if entry.name.endswith(".js"):
            made = r"make\(\s*\"(button|select|input|summary|a)\",\s*\{((?:[^{}]|\{[^{}]*\})*)"
            for tag, text in re.findall(made, entry.read_text("utf-8")):
                found.add(_control(tag, dict(re.findall(r"\b(\w+): \"([^\"]*)\"", text))))
    found |= {Control("li", attributes=frozenset({("aria-selected", flag)})) for flag in ("true", "false")}
    rows = (("row", "class"), ("row", "class", "chosen"), ("row", "group", "partly"), ("row", "root"))
    return found | {Control("div", classes=frozenset(names)) for names in rows}


def _control(tag: str, facts: Mapping[str, str]) -> Control:
    kept = frozenset((key, value) for key, value in facts.items() if key in ("type", "role"))
    return Control(tag, facts.get("id", ""), frozenset(facts.get("class", "").split()), kept)


def pairs(control: Control, every: list[Rule], scheme: Colours) -> Iterator[tuple[str, str]]:
    """(ink, ground) as they may be: rules that ask for something around the control apply, or do not."""
    fitting = [(rule, re.split(r"[\s>]+", rule.selector)) for rule in every if not _other(rule.media)]
    fitting = [(rule, parts) for rule, parts in fitting if control.matches(parts[-1])]
    inside = sorted({" ".join(parts[:-1]) for _, parts in fitting if len(parts) > 1})
    for around in ("", *inside):
        order = sorted(
            (r for r, parts in fitting if " ".join(parts[:-1]) in ("", around)), key=lambda rule: rule.weight
        )
        ink, grounds = scheme["--ink"], ["--card", "--paper"]
        for rule in order:
            ink = _colour(rule.style.get("color", ""), scheme) or ink
            ground = rule.style.get("background", "")
            if ground.startswith("var("):
                grounds = [ground[4:-1]]
            elif ground == "none":
                grounds = ["--card", "--paper"]
        for name in grounds:
            yield ink, scheme[name]


def _other(media: str) -> bool:
    return bool(media) and media != "(hover: hover)" and "width" not in media


def _colour(value: str, scheme: Colours) -> str:
    return scheme[value[4:-1]] if value.startswith("var(") else ""


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours "#rrggbb" (WCAG 2.2, "contrast ratio")."""
    low, high = sorted(map(_luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
