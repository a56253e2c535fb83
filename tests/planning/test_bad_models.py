"""Models that cannot be planned: what is wrong in the third line of the file, and a near twin that is built."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bad_input import LONG, Run, check_twins, spec

STAGE = "{PHL: {branches: [[{%s}]]}}"
BUDGET = "{PHL: {budget: {%s}}}"
AIM = "{PHL: {%s}}"
MODELS = {
    "none": ("{}", "{PHL: {}}", "'models' is wrong: expected at least one model"),
    "unknown key": ("{PHL: {truck: {}}}", "{PHL: {trunk: {}}}", "'models.PHL.truck'|nearest: trunk"),
    "keyword": ("{lambda: {levels: 1}}", "{lambda_: {levels: 1}}", "Python keyword"),
    "line break": ('{"P\\nHL": {levels: 1}}', '{"PHL": {levels: 1}}', "expected a letter"),
    "long": (f"{{? {LONG} : {{levels: 1}}}}", "{NNN: {levels: 1}}", "a name of 10000 characters"),
    "k of 0": ("{A: {levels: 0}}", "{A: {levels: 1}}", "models.A.levels|more than 0"),
    "k of 65": ("{A: {levels: 65}}", "{A: {levels: 2}}", "models.A.levels|at most 64"),
    "k of two": ("{A: {levels: two}}", "{A: {levels: 2}}", "models.A.levels|whole number|'two'"),
    "N0HL": ("{N0HL: {}}", "{N2HL: {}}", "how many levels model 'N0HL' has"),
    "no levels": ("{Foo: {}}", "{Foo: {levels: 1}}", "how many levels model 'Foo' has|levels: k"),
    "deeper than the tree": ("{N9HL: {}}", "{N3HL: {}}", "N9HL|9 levels cannot be|3 deep|at most 3"),
    "no stages": ("{PHL: {branches: []}}", STAGE % "width: 8, out: 8", "one list of stages per level"),
    "too many lists": (
        "{A: {levels: 1, branches: [[{width: 8, out: 8}], [{width: 8, out: 8}]]}}",
        STAGE % "width: 8, out: 8",
        "'levels: 1'|2 lists",
    ),
    "branches and budget": (
        "{PHL: {budget: {params: 25M}, branches: [[{width: 8, out: 8}]]}}",
        BUDGET % "params: 25M",
        "goes with 'branches: auto' only",
    ),
    "depth of the backbone's own tail": (
        "{PHL: {depth: 2}}",
        "{PHL: {block: bottleneck, depth: 2}}",
        "'depth' goes with a 'block' only",
    ),
    "until auto without an aim": (
        "{PHL: {trunk: {until: auto}}}",
        "{PHL: {trunk: {until: layer3}}}",
        "'until: auto' goes with an 'aim', such as {cutout: 0.6}",
    ),
    "until auto of branches": (
        "{PHL: {trunk: {until: auto}, branches: [[{width: 8, out: 8}]]}}",
        "{PHL: {trunk: {until: layer3}, branches: [[{width: 8, out: 8}]]}}",
        "'until: auto' goes with 'branches: auto' only",
    ),
    "tail of auto": (
        "{PHL: {generalist: shallow, tail: [{width: 8, out: 8}]}}",
        "{PHL: {generalist: shallow, branches: [[{width: 8, out: 8}]], tail: [{width: 8, out: 8}]}}",
        "'tail' goes with 'branches' that are spelled out",
    ),
    "tail of nothing": (
        "{PHL: {branches: [[{width: 8, out: 8}]], tail: [{width: 8, out: 8}]}}",
        "{PHL: {generalist: both, branches: [[{width: 8, out: 8}]], tail: [{width: 8, out: 8}]}}",
        "'tail' is the shallow generalist's",
    ),
    "generalist of one branch": (
        "{PHL: {single_branch: true, generalist: shallow, budget: {params: 25M}}}",
        "{PHL: {generalist: shallow, budget: {params: 25M}}}",
        "'single_branch' is a branch for all classes",
    ),
}
AIMS = {
    "a budget too": ("aim: {cutout: 0.6}, budget: {params: 25M}", "'aim' and 'budget' exclude each other"),
    "a block": ("aim: {cutout: 0.6}, block: bottleneck", "'aim' goes with 'block: auto' or 'block: copy' only"),
    "branches": ("aim: {cutout: 0.6}, branches: [[{width: 8, out: 8}]]", "'aim' goes with 'branches: auto' only"),
    "0": ("aim: {cutout: 0}", "aim.cutout|more than 0"),
    "no cutout": ("aim: {full: 1}", "cutout' is missing"),
}
STAGES = {
    "unknown key": ("width: 8, outs: 8", "width: 8, out: 8", "outs|nearest: out"),
    "width 0": ("width: 0, out: 8", "width: 1, out: 8", "width|more than 0|'0'"),
    "width wide": ("width: wide, out: 8", "width: 8, out: 8", "width|is not a whole number|'wide'"),
    "huge width": (f"width: {'9' * 5_000}, out: 8", "width: 9, out: 8", "width"),
    "no out": ("width: 8", "width: 8, out: 8", "out' is missing"),
    "stride 3": ("width: 8, out: 8, stride: 3", "width: 8, out: 8, stride: 2", "stride|1, 2 or 4"),
    "unknown block": ("block: resnext, width: 8, out: 8", "block: convnext, width: 8, out: 8", "block|bottleneck"),
    "kernel 4": (
        *("block: mbconv, width: 8, out: 8, kernel: 4", "block: mbconv, width: 8, out: 8, kernel: 7"),
        "kernel|3, 5 or 7",
    ),
    "no width": ("out: 8", "block: conv, out: 8", "'width' is missing: the channels inside a block"),
    "width of a convolution": (
        *("block: conv, width: 4, out: 8", "block: conv, out: 8"),
        "'block: conv' is one 1×1 convolution: it has 'out' only",
    ),
    "depth of a convolution": ("block: conv, out: 8, depth: 2", "block: conv, out: 8", "no width, depth or stride"),
    "kernel of a convolution": (
        *("block: conv, out: 8, kernel: 3", "block: conv, out: 8, act: relu"),
        "'kernel' goes with 'block: mbconv' only",
    ),
    "act of a bottleneck": (
        *("width: 8, out: 8, act: silu", "block: mbconv, width: 8, out: 8, act: silu"),
        "'act' goes with 'block: mbconv' and 'block: conv' only",
    ),
}
BUDGETS = {
    "25Q": ("params: 25Q", "params: 25M", "budget.params|25M or 4.2G"),
    "0": ("params: 0", "params: 25M", "budget.params|more than 0"),
    "nothing": ("", "macs: 4.2G", "params, macs, ms or some of them"),
}
ALL = {
    **{f"model, {name}": case for name, case in MODELS.items()},
    **{f"stage, {name}": (STAGE % bad, STAGE % good, words) for name, (bad, good, words) in STAGES.items()},
    **{f"aim, {name}": (AIM % bad, BUDGET % "params: 25M", words) for name, (bad, words) in AIMS.items()},
    **{f"budget, {name}": (BUDGET % bad, BUDGET % good, words) for name, (bad, good, words) in BUDGETS.items()},
}


@pytest.mark.parametrize("case", ALL)
def test_models(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hiergen: Run) -> None:
    monkeypatch.chdir(tmp_path)
    bad, good, words = ALL[case]
    check_twins(spec(models=bad), spec(models=good), 3, words, tmp_path, hiergen)
