"""One command, one fault: what is there afterwards, and what the next, undisturbed run makes of it."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from cases import Case
from injector import WRITES, Fault, Operation, Ran, Server

from hiergen.errors import HiergenError
from hiergen.models.weightsfile import read_weights
from hiergen.training.runfolder import Request

Files = dict[str, bytes | None]
# what a killed process may leave until the next one: unfinished files of ours, locks and claims
_LEFT = re.compile(r"(^|/)\.[^/]*\.part(/|$)|/claim-\d+$|/use-\w+$|/\.lock$|/\.lowerings[^/]*$")
_RANDOM = re.compile(r"\.\w{8}\.part|\.tmp\w{6}$")
_MAPS = re.compile(r"\.maps(/|$)|/features(/|$)")
_LOCKS = re.compile(r"/use-\w+$|/\.lock$|/claim-\d+$|/\.lowerings[^/]*\.lock$")


def snapshot(root: Path) -> Files:
    """Every file below, byte for byte; None for a folder."""
    found: Files = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if "__pycache__" not in name:
            found[name] = path.read_bytes() if path.is_file() else None
    return found


@dataclass
class Baseline:
    """A command undisturbed: what it starts from, what it leaves, its operations, and what was printed."""

    case: Case
    template: Path
    before: Files
    after: Files
    ran: Ran
    seen: dict[int, list[str]] = field(default_factory=dict)

    @property
    def operations(self) -> tuple[Operation, ...]:
        return self.ran.operations


def undisturbed(server: Server, case: Case, folder: Path) -> Baseline:
    """Prepare the command's folder, run it twice (the first time imports) and note what it does."""
    template = folder / "template"
    for name in ("work", "home", "tmp"):
        (template / name).mkdir(parents=True)
    case.prepare(template / "work")
    for _ in range(2):
        root = copied(template, folder)
        ran = server.run(root, *case.argv, note=True, code=case.code)
        assert ran.code == 0, ran.err
        after = snapshot(root)
        if not case.cold:  # backbones are measured once
            shutil.copytree(root / "home", template / "home", dirs_exist_ok=True)
        shutil.rmtree(root)
    return Baseline(case, template, snapshot(template), after, ran)


def copied(template: Path, folder: Path) -> Path:
    # always the same length: paths are in some files
    root = Path(tempfile.mkdtemp(prefix="r", dir=folder))
    shutil.copytree(template, root, dirs_exist_ok=True)
    return root


def trial(server: Server, base: Baseline, fault: Fault, folder: Path, *, mask: int = WRITES) -> list[str]:
    """What went wrong: nothing, where all holds."""
    root = copied(base.template, folder)
    try:
        ran = server.run(root, *base.case.argv, fault=fault, mask=mask, code=base.case.code)
        there = snapshot(root)
        wrong = _afterwards(base, fault, ran, there)
        # the names of unfinished files are random: what they hold decides what comes next
        key = hash(frozenset((_RANDOM.sub(".part", name), content) for name, content in there.items()))
        if there == base.before or key in base.seen:
            return wrong + base.seen.get(key, [])
        left = len(wrong)
        again = base.case.again
        if again is None or not all((root / "work" / "run" / name).is_file() for name in ("run.json", "recipe.yaml")):
            again = base.case.argv
        if base.case.argv[0] == "cutout" and (root / "work" / "cut").exists() and "--force" not in again:
            again = (*again, "--force")
        second = server.run(root, *again, code=base.case.code)
        if second.code:
            wrong.append(f"the next run ends with {second.code}: {second.err[-500:]}")
        else:
            wrong += _ended(base, snapshot(root))
        base.seen[key] = wrong[left:]
        return wrong
    finally:
        shutil.rmtree(root)


def _afterwards(base: Baseline, fault: Fault, ran: Ran, found: Files) -> list[str]:
    wrong = []
    killed = fault.how in ("before", "after", "half", "signal")  # Ctrl-C may come between making a file and noting it
    sticks = fault.how == "always" and fault.error != "ENOSPC"  # then nothing can be tidied up either
    for name, content in found.items():
        left = bool(_LEFT.search(name))
        if left and (killed or sticks or _LOCKS.search(name)):
            continue
        if left:
            wrong.append(f"{name} is left")
        elif _MAPS.search(name) or re.search(base.case.extra, f"/{name}"):
            continue
        elif name not in base.after:
            wrong.append(f"{name} is left")
        elif not (base.case.stops and fault.error == "SIGINT") and not _whole(base, name, content):
            wrong.append(f"{name} is neither whole-old nor whole-new")
    for name in base.before:
        if name not in found:
            wrong.append(f"{name} is lost")
    return wrong + _said(base, fault, ran, found)


def _whole(base: Baseline, name: str, content: bytes | None) -> bool:
    if content == base.after[name] or (name in base.before and content == base.before[name]):
        return True
    if content is None or base.after[name] is None:
        return False
    if name.endswith((".safetensors", "history.csv", "state.json", "answers.json", "lowerings.json", "run.json")):
        return _reads(name, content)
    try:
        return base.case.fact(name, content) == base.case.fact(name, base.after[name])
    except (ValueError, KeyError, UnicodeDecodeError):
        return False


def _reads(name: str, content: bytes) -> bool:
    """A file that has more than one state on the way: its own reader finds it whole."""
    if name.endswith(".safetensors"):
        with tempfile.NamedTemporaryFile(suffix=".safetensors") as file:
            Path(file.name).write_bytes(content)
            try:
                return bool(read_weights(file.name).tensors)
            except HiergenError:
                return False
    if name.endswith(".csv"):
        lines = content.decode().splitlines()
        return len(lines) > 1 and len({line.count(",") for line in lines}) == 1
    state = json.loads(content)
    if name.endswith("run.json"):  # before and after the network's source is beside it
        Request.model_validate(state)
    return True


def _said(base: Baseline, fault: Fault, ran: Ran, found: Files) -> list[str]:
    """Exit codes, and one sentence for an error."""
    if fault.how in ("before", "after", "half"):
        return [] if ran.code == -9 else [f"not killed but {ran.code}: {ran.err[-600:]}"]
    wrong = []
    if "Traceback" in ran.err or "Exception ignored" in ran.err:
        wrong.append(f"a traceback: {ran.err[-900:]}")
    if fault.how == "signal":
        expected = {"SIGTERM": (-15, 130, 0), "SIGHUP": (-1, 130, 0), "SIGINT": (130, 0)}[fault.error]
        return wrong if ran.code in expected else [*wrong, f"ends with {ran.code}: {ran.err[-300:]}"]
    if ran.code == 0:
        sticks = fault.how == "always" and fault.error != "ENOSPC"
        return wrong + _ended(base, {n: c for n, c in found.items() if not (sticks and _LEFT.search(n))})
    if ran.code != 2:
        wrong.append(f"ends with {ran.code}: {ran.err[-300:]}")
    lines = [line for line in ran.err.splitlines() if line.startswith("error: ")]
    if len(lines) != 1:
        wrong.append(f"{len(lines)} sentences: {ran.err[-300:]}")
    elif not re.search(r"[\w.]+/|\.\w{2,}|\brun\b|\bcut\b", lines[0]):
        wrong.append(f"no path in: {lines[0]}")
    if fault.error == "EINTR" or fault.how == "short":
        wrong.append(f"gives up where it should try again: {lines}")
    return wrong


def _ended(base: Baseline, found: Files) -> list[str]:
    """Whether all is as if nothing had happened."""
    wrong = []
    known = {name for name in base.after if not re.search(base.case.extra, f"/{name}")}
    there = {name for name in found if _LEFT.search(name) or not re.search(base.case.extra, f"/{name}")}
    for name in sorted(known - there):
        wrong.append(f"{name} is missing at the end")
    for name in sorted(there - known):
        if not _LOCKS.search(name):
            wrong.append(f"{name} is there at the end")
    for name in sorted(known & there):
        same = base.case.fact(name, found[name]) == base.case.fact(name, base.after[name])
        if not same and not _LOCKS.search(name) and not name.endswith("/journal"):
            wrong.append(f"{name} has other content at the end")
    return wrong


def faults(operations: tuple[Operation, ...], *, every: int = 1, seed: int = 0) -> list[Fault]:
    """All faults of every operation; with `every` > 1 one in so many, each kind in its turn."""
    found = []
    hows = [("before", ""), ("half", ""), ("after", "")]
    hows += [(how, error) for error in ("ENOSPC", "EROFS", "EACCES", "EIO") for how in ("once", "always")]
    hows += [("once", "EINTR"), ("short", ""), ("signal", "SIGTERM"), ("signal", "SIGINT"), ("signal", "SIGHUP")]
    for operation in operations:
        for how, error in hows:
            fault = Fault(how, operation.number, error)
            if how == "short" and operation.name not in ("write", "pwrite"):
                continue
            if fault.hits(operation.kind) and not (how == "half" and operation.name not in ("write", "pwrite")):
                found.append(fault)
    return found[seed % every :: every]
