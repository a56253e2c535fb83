"""Source that stands alone: the same numbers without hiergen, in a process that cannot import it."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
import timm
import torch

from hiergen.builder import Built, build
from hiergen.codegen.standalone import standalone

DATA = Path(__file__).parent.parent / "data"
MODELS = ("PHL", "N2HL", "N3HL", "OneBranch")

# Runs in a process of its own: hiergen and all that torch and timm do not need cannot be imported, and files that stand
# alone can import torch, timm and the standard library only. Every model's logits, or shapes on the meta device.
ALONE = """
import builtins, importlib.metadata as metadata, re, runpy, sys

def needs(name, found):
    name = re.sub("[-_.]+", "-", name).lower()
    if name in found:
        return found
    found.add(name)
    for line in metadata.requires(name) or ():
        wanted = re.match(r"[\\w.-]+", line)[0]
        if "extra ==" not in line and any(True for _ in metadata.Distribution.discover(name=wanted)):
            needs(wanted, found)
    return found

allowed = needs("torch", set()) | needs("timm", set())
normal = lambda name: re.sub("[-_.]+", "-", name).lower()
forbidden = {"hiergen"} | {
    package for package, homes in metadata.packages_distributions().items() if not {normal(h) for h in homes} & allowed
}
assert {"pydantic", "nltk", "pytest"} <= forbidden and not {"torch", "timm", "numpy"} & forbidden

class Without:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in forbidden else self.finder.find_spec(name, path, target)
    def __getattr__(self, name):
        return getattr(self.finder, name)

real = builtins.__import__
def imported(name, globals=None, *rest, **more):
    root = name.partition(".")[0]
    if globals and globals.get("__name__", "").startswith("alone_"):
        assert root in {"torch", "timm", "hiergen"} or root in sys.stdlib_module_names, name
    return real(name, globals, *rest, **more)

sys.meta_path[:] = map(Without, sys.meta_path)
builtins.__import__ = imported
import importlib.util, torch
torch.set_num_threads(1)
try:
    import hiergen
except ImportError:
    pass
else:
    raise AssertionError("the hook does not work")

def load(path):
    name = "alone_" + re.sub(r"\\W", "_", path)
    spec = importlib.util.spec_from_file_location(name, path)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
"""


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(DATA / "toy.yaml", tmp_path_factory.mktemp("generated") / "toy_with_hiergen.py")


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Other tests build the same models from other files: during a test timm knows its own only."""

    known = timm.models._registry._model_entrypoints
    names = [f"toy_{name.lower()}" for name in MODELS]
    before = {name: known.pop(name) for name in names if name in known}
    yield
    for name in names:
        known.pop(name, None)
    known.update(before)


def imported(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def alone(folder: Path, code: str) -> str:
    """Run code in a fresh process in that folder, where hiergen and its own dependencies cannot be imported."""
    (folder / "run.py").write_text(ALONE + code, encoding="utf-8")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "run.py"], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_logits_are_the_same_to_the_bit_without_hiergen(toy: Built, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = imported(toy.path)
    (tmp_path / "toy.py").write_text(standalone(toy.source), encoding="utf-8")
    states, want, x = {}, {}, torch.randn(5, 3, 32, 32)
    for name in MODELS:
        model = getattr(module, name)().eval()
        with torch.no_grad():  # no zero gammas: every layer must matter
            for p in model.parameters():
                if p.ndim <= 2:
                    p.normal_(0.5, 0.3)
        states[name] = {key: value.clone() for key, value in model.state_dict().items()}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for name in MODELS:
            model = getattr(module, name)()
            model.load_state_dict(states[name])
            want[name] = [*run(model.eval(), x), *run(model.train(), x)]
    finally:
        torch.set_num_threads(threads)
    torch.save({"states": states, "x": x}, tmp_path / "given.pt")
    alone(
        tmp_path,
        """
import timm
given, found = torch.load("given.pt", weights_only=True), {}
module = load("toy.py")
for name, state in given["states"].items():
    model = timm.create_model("toy_" + name.lower())
    assert type(model) is getattr(module, name)
    model.load_state_dict(state)
    found[name] = []
    for mode in (model.eval, model.train):
        logits = mode()(given["x"])
        logits.square().sum().backward()
        grads = [p.grad.clone() for p in model.parameters()]
        model.zero_grad()
        found[name] += [logits.detach(), *grads]
torch.save(found, "found.pt")
with torch.no_grad():
    part = model.eval().cutout(["pug", "goldfish"])
    torch.testing.assert_close(part(given["x"]), model(given["x"])[:, [3, 6]], atol=1e-5, rtol=1e-4)
try:
    model.cutout("domestic cat")
except Exception as error:
    assert type(error).__name__ == "HiergenError" and "domestic cat" in str(error)
else:
    raise AssertionError("without WordNet that is no word")
""",
    )
    found = torch.load(tmp_path / "found.pt", weights_only=True)
    assert len(want["N3HL"]) > 100
    for name in MODELS:
        assert len(found[name]) == len(want[name])
        assert all(torch.equal(a, b) for a, b in zip(found[name], want[name], strict=True)), name
        assert want[name][0].std() > 0.01


def run(model: torch.nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    logits = model(x)
    logits.square().sum().backward()
    gradients = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    return [logits.detach(), *gradients]


def test_every_shipped_model_stands_alone(tmp_path: Path) -> None:
    """Names, shapes and the logits' shape of every class in generated/, on the meta device."""
    want: dict[str, dict[str, list[list[int]]]] = {}
    for path in sorted(Path("generated").glob("*.py")):
        (tmp_path / path.name).write_text(standalone(path.read_text("utf-8")), encoding="utf-8")
        module = importlib.import_module(f"generated.{path.stem}")
        for name in [n for n, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]:
            if isinstance(getattr(module, name), type):
                with torch.device("meta"):
                    model = getattr(module, name)()
                shapes = {key: list(value.shape) for key, value in model.state_dict().items()}
                want[f"{path.stem}.{name}"] = {**shapes, "logits": [2, len(module.CLASSES)]}
    assert len(want) >= 23
    torch.save(want, tmp_path / "want.pt")
    alone(
        tmp_path,
        """
modules = {}
for name, want in torch.load("want.pt", weights_only=True).items():
    file, _, cls = name.partition(".")
    module = modules[file] = modules.get(file) or load(file + ".py")
    with torch.device("meta"):
        model = getattr(module, cls)().eval()
        logits = model(torch.empty(2, *model.input_size))
    shapes = {key: list(value.shape) for key, value in model.state_dict().items()}
    assert {**shapes, "logits": list(logits.shape)} == want, name
""",
    )


@pytest.mark.parametrize("file", ["toy", "imagenet100"])
def test_it_is_lint_clean_and_says_where_it_is_from(toy: Built, file: str, tmp_path: Path) -> None:
    source = toy.source if file == "toy" else Path("generated/imagenet100.py").read_text("utf-8")
    text = standalone(source)
    path = tmp_path / "alone.py"
    path.write_text(text, encoding="utf-8")
    for command in (("check", "--no-cache"), ("format", "--diff", "--no-cache")):
        config = ["--config", "pyproject.toml"]
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, *config, str(path)], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
    head = text[:2000]
    for words in ("Written by hiergen 0.", "stands alone", "Apache-2.0", "Contains parts of hiergen 0."):
        assert words in head
    assert text.endswith(source[source.index("# fmt: off") :])


def test_same_bytes_under_other_hash_seeds(tmp_path: Path) -> None:
    code = (
        "import sys; from hiergen.codegen.standalone import *; sys.stdout.write(standalone(open(sys.argv[1]).read()))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code, "generated/imagenette.py"],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


@pytest.mark.parametrize("order", ["package first", "copy first"])
def test_timms_name_means_the_package_where_both_are_imported(toy: Built, tmp_path: Path, order: str) -> None:
    (tmp_path / f"copy_{order[:4]}.py").write_text(standalone(toy.source), encoding="utf-8")
    files = [toy.path, tmp_path / f"copy_{order[:4]}.py"]
    files = files if order == "package first" else files[::-1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        modules = [imported(path) for path in files]
    package, copy = modules if order == "package first" else modules[::-1]
    assert type(timm.create_model("toy_n2hl")) is package.N2HL
    assert copy.toy_n2hl.hiergen_class is copy.N2HL
    assert isinstance(copy.toy_n2hl(), copy.N2HL)


def test_another_network_of_that_name_still_warns(toy: Built, tmp_path: Path) -> None:
    imported(toy.path)
    (tmp_path / "other_copy.py").write_text(standalone(toy.source.replace("depth=2", "depth=3")), encoding="utf-8")
    with pytest.warns(UserWarning, match="Overwriting toy_n2hl"):
        other = imported(tmp_path / "other_copy.py")
    assert type(timm.create_model("toy_n2hl")) is other.N2HL


def test_build_writes_it_beside_nothing_else(
    hiergen: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = (DATA / "toy.yaml").resolve()
    monkeypatch.chdir(tmp_path)
    assert hiergen("build", file, "--standalone").code == 0
    assert [str(p) for p in Path().rglob("*.py")] == ["standalone/toy.py"]
    assert hiergen("build", file, "--standalone", "--check").code == 0
    assert hiergen("build", file, "--check").code == 1
    refused = hiergen("build", file, "-o", "standalone")
    assert refused.code == 2
    assert "standalone/toy.py: is the file of 'hiergen build --standalone'; expected a new path" in refused.err
    assert hiergen("build", file).code == 0
    assert "is the file of 'hiergen build'" in hiergen("build", file, "-o", "generated", "--standalone").err
    assert "from hiergen" in Path("generated/toy.py").read_text("utf-8")
