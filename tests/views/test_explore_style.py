"""Colours of the page's controls in every state, read from its stylesheet."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, combinations

import pytest

from tests.views.stylesheet import Control, contrast, controls, pairs, rules, schemes

EVERY = rules()
_STATES = ("hover", "focus", "focus-visible", "disabled")


def test_contrast_is_that_of_wcag() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)
    assert contrast("#f0ece2", "#ffffff") == pytest.approx(1.18, abs=0.005)


def test_every_control_is_found() -> None:
    found = controls()
    assert {"compare", "theme", "help", "keep", "search", "colour"} <= {control.id for control in found}
    assert {"quiet", "link", "copy", "picture", "confused"} <= set(
        chain.from_iterable(control.classes for control in found)
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_state_of_every_control_can_be_read(scheme: str) -> None:
    colours = schemes(EVERY)[scheme]
    faint, seen = [], 0
    for control in controls():
        for state in _in_every_state(control):
            for ink, ground in pairs(state, EVERY, colours):
                seen += 1
                if contrast(ink, ground) < 4.5:
                    faint.append((state, ink, ground, round(contrast(ink, ground), 2)))
    assert seen > 200
    assert faint == []


def _in_every_state(control: Control) -> list[Control]:
    sets = chain.from_iterable(combinations(_STATES, n) for n in range(len(_STATES) + 1))
    found = [replace(control, states=frozenset(some)) for some in sets]
    if control.tag == "button":
        found += [
            replace(one, attributes=one.attributes | {("aria-pressed", flag)})
            for one in found
            for flag in ("true", "false")
        ]
    return found


def test_marks_and_text_can_be_read() -> None:
    for scheme in schemes(EVERY).values():
        for ink, grounds in {
            "--ink": ("--paper", "--card", "--hover", "--accent-soft", "--warn-soft", "--moved-soft"),
            "--soft": ("--paper", "--card", "--hover"),
            "--moved": ("--moved-soft", "--paper", "--card", "--hover"),
            "--warn": ("--warn-soft",),
            "--good": ("--paper", "--card"),
            "--accent": ("--paper", "--card", "--hover"),
        }.items():
            for ground in grounds:
                assert contrast(scheme[ink], scheme[ground]) >= 4.5, (ink, ground)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("how", ["right", "wrong"])
def test_a_right_and_a_wrong_answer_can_be_told_apart(scheme: str, how: str) -> None:
    found = list(pairs(Control("span", classes=frozenset({"answer", how})), EVERY, schemes(EVERY)[scheme]))
    assert found
    assert all(ink != schemes(EVERY)[scheme]["--ink"] and contrast(ink, ground) >= 4.5 for ink, ground in found)


def test_what_hovers_is_for_pointers_that_can() -> None:
    hovering = [rule for rule in EVERY if ":hover" in rule.selector]
    assert len(hovering) > 3
    assert {rule.media for rule in hovering} == {"(hover: hover)"}
