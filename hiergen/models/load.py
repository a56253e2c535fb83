"""What a user may type for a model → its class, and the network with its weights."""

from __future__ import annotations

import hashlib
import importlib
import json
import re
import shlex
import sys
from dataclasses import dataclass, replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import timm
import torch

from hiergen.errors import HiergenError, listed, nearest, quoted, unquoted
from hiergen.files import read_text, write_text
from hiergen.lookup.reference import CUTOUT_SOURCE, FOLDER, Reference, parse_reference, registered_in
from hiergen.nn.network import HierarchicalNetwork
from hiergen.taxonomy.naming import identifier

CUTOUT_WEIGHTS = "model.safetensors"
TRAINING, TRAINED_WEIGHTS = "run.json", "best.safetensors"  # what a training's folder says of itself, and its result
_FORMS = "FILE.py:NAME, FILE.yaml:NAME, package.module:NAME, a registered name, a cutout's or a training's folder"
_WEIGHTS = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".onnx")
_BUILD = "run 'hiergen build TAXONOMY.yaml' to write models"
# What a file may raise on import by being wrong; anything else is no mistake of its text and keeps its traceback.
_BAD_SOURCE = (SyntaxError, ImportError, NameError, AttributeError, TypeError, ValueError, OSError)
_REGISTER = re.compile(r"^@register\(.*\n", flags=re.MULTILINE)


@dataclass(frozen=True)
class ModelRef:
    """A network class, its source file, its timm name, and for a cutout's or a training's folder its weights.

    `source` is the text of a model that was built in memory, as `hiergen build` would write it.
    """

    cls: type[HierarchicalNetwork]
    path: Path | None
    registered: str | None
    weights: Path | None = None
    source: str = ""

    @property
    def name(self) -> str:
        """The class's name."""
        return self.cls.__name__


def find_model(reference: str | Path) -> ModelRef:
    """The network class that a reference names; its file is imported, and no other is.

    The forms are "taxonomies/imagenet100.yaml:N3HL" (built in memory; without ":N3HL" the deepest of its models),
    "generated/imagenet100.py:N3HL" (":N3HL" may be left out where the file has one network),
    "generated.imagenet100:N3HL", a name registered with timm, "imagenet100_n3hl" (if nothing imported has it, looked
    up in the text of ./generated/*.py), and a folder that `hiergen cutout` or `hiergen train` wrote.
    Raises HiergenError for everything else, and for a file that cannot be imported.
    """
    parsed = parse_reference(reference)
    name = parsed.model or None
    if parsed.kind == "taxonomy":
        return _planned(parsed)
    if parsed.kind == "cutout":
        return _cutout(parsed.path)
    if parsed.kind == "source" and parsed.path.suffix in _WEIGHTS:
        raise HiergenError(
            "holds weights, and says nothing of their network",
            place=unquoted(parsed.path),
            expected=_FORMS,
            hint="'hiergen adapt' begins with a checkpoint of timm's; a file of ours goes with MODEL --weights FILE",
        )
    if parsed.kind == "source":
        return network_in(_run(parsed.path), name, parsed.path)
    if name is None and timm.is_model(parsed.text):
        return _registered(parsed.text)
    module = str(parsed.path)
    if re.fullmatch(r"\w+(\.\w+)+", module) or name is not None:
        return _dotted(module, name)
    return _named(parsed.text)


def source_of(model: ModelRef) -> str:
    """The text of the file that a model is in, or would be written to; "" where there is none."""
    if model.source or model.path is None or not model.path.is_file():
        return model.source
    return read_text(model.path)


def copy_source(text: str, name: str, folder: Path) -> bool:
    """Write a model's source that hiergen wrote into a training's folder; False for one by another hand, one that
    cannot be imported there, and where a file by another hand is in its place."""
    place = folder / CUTOUT_SOURCE
    if not _is_ours(text) or (place.is_file() and not _is_ours(read_text(place))):
        return False
    try:
        network_in(run_source(_REGISTER.sub("", text), place), name, None)
    except (HiergenError, RuntimeError, LookupError, AssertionError):  # one that was edited needs what is beside it
        return False
    write_text(place, text)
    return True


def _is_ours(text: str) -> bool:
    return "Written by hiergen " in text[:8000]


def load_network(model: str | Path | ModelRef, weights: str | Path | None = None) -> HierarchicalNetwork:
    """The network in eval mode, with these weights, or those of a cutout's or a training's folder; else random ones.

    Raises HiergenError as `find_model` and `hiergen.models.weights.load_weights` do.
    """
    from hiergen.models.weights import load_weights

    reference = model if isinstance(model, ModelRef) else find_model(model)
    network = reference.cls().eval()
    file = weights if weights is not None else reference.weights
    if file is not None:
        load_weights(network, file)
    return network


def default_device() -> str:
    """A GPU where there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def load_trained(
    model: str | Path | ModelRef | HierarchicalNetwork,
    weights: str | Path | None = None,
    *,
    untrained: bool = False,
    device: str | torch.device | None = "cpu",
) -> HierarchicalNetwork:
    """The network in eval mode on `device` (None: a GPU where there is one).

    One that is built already is moved there, with `weights` if any are given.

    Raises HiergenError as `load_network` does, without weights (unless random ones are asked for), and for a device
    that is not there.
    """
    device = device or default_device()
    try:
        target = torch.empty(0, device=torch.device(device)).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise HiergenError(f"no device {quoted(device)}", hint=f"torch says: {unquoted(reason)}") from None
    if isinstance(model, HierarchicalNetwork):
        if weights is not None:
            from hiergen.models.weights import load_weights

            load_weights(model, weights)
        return model.eval().to(target)
    reference = model if isinstance(model, ModelRef) else find_model(model)
    check_weights(reference, weights, untrained, hint="--untrained takes random ones, whose figures mean nothing")
    torch.manual_seed(0)
    return load_network(reference, weights).to(target)


def check_weights(reference: ModelRef, weights: str | Path | None, untrained: bool, *, hint: str) -> None:
    """Raises HiergenError where there are no weights and random ones are not asked for, and where both are."""
    if weights is None and reference.weights is None and not untrained:
        raise HiergenError(f"no weights for {reference.name}", expected="--weights FILE.safetensors", hint=hint)
    if weights is not None and untrained:
        raise HiergenError("weights are given, and none are wanted", expected="--weights or --untrained")


def _planned(reference: Reference) -> ModelRef:
    """A model of a taxonomy file, by the source that `build` would write of it."""
    from hiergen.codegen.build import render
    from hiergen.planning.from_taxonomy import plan_models
    from hiergen.taxonomy.load import load_taxonomy

    taxonomy = load_taxonomy(reference.path)
    model = taxonomy.check_model(reference.model) if reference.model else taxonomy.deepest
    source = render(plan_models(taxonomy), reference.path.name)
    return replace(network_of(source, identifier(model), reference.path.with_suffix(".py")), path=reference.path)


def network_of(source: str, model: str, path: Path) -> ModelRef:
    """A model of a text that `build` would write; timm's names stay those of written files."""
    module = run_source(_REGISTER.sub("", source), path)
    return replace(network_in(module, model, None), source=source)


def _cutout(folder: Path) -> ModelRef:
    source, weights = folder / CUTOUT_SOURCE, folder / CUTOUT_WEIGHTS
    if not weights.is_file() and (folder / TRAINING).is_file():
        return _trained(folder)
    missing = [file.name for file in (source, weights) if not file.is_file()]
    if missing:
        files = sorted(file.name for file in folder.glob("*.py"))
        raise HiergenError(
            f"is a folder without {' and '.join(missing)}",
            place=unquoted(folder),
            expected="a folder that 'hiergen cutout' or 'hiergen train' wrote",
            hint=f"or name a file in it: {', '.join(unquoted(f) for f in files[:5])}" if files else None,
        )
    model_ref = network_in(_run(source), None, source)
    return ModelRef(model_ref.cls, model_ref.path, model_ref.registered, weights)


def _trained(folder: Path) -> ModelRef:
    """The model of a training's folder with its best weights."""
    place = unquoted(folder)
    try:
        request = json.loads(read_text(folder / TRAINING))
        model, flat, copied = request["model"], request.get("flat"), request.get("copied")
        trained = parse_reference(model)
        if not isinstance(copied, str | None):
            raise TypeError
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        raise HiergenError("says of no training", place=unquoted(folder / TRAINING)) from None
    if flat:
        raise HiergenError(
            "is a training of the flat network, which has no branches",
            place=place,
            hint="timm loads its flat.safetensors, 'hiergen train --teacher' learns from it",
        )
    if not (folder / TRAINED_WEIGHTS).is_file():
        raise HiergenError(f"is a training's folder without {TRAINED_WEIGHTS}", place=place, hint="has it ended?")
    if copied:
        source = folder / CUTOUT_SOURCE
        if not source.is_file():
            weights = shlex.quote(str(folder / TRAINED_WEIGHTS))
            hint = f"name the model: MODEL --weights {weights}"
            raise HiergenError(f"is a training's folder without {CUTOUT_SOURCE}", place=place, hint=hint)
        return replace(network_in(_run(source), copied, source), weights=folder / TRAINED_WEIGHTS)
    inside = folder / trained.path.name  # of a folder of before that was moved
    if trained.kind in ("source", "taxonomy") and not trained.path.exists() and inside.is_file():
        model = f"{inside}:{trained.model}" if trained.model else str(inside)
    elif trained.kind == "cutout" and trained.path.resolve() == folder.resolve():
        raise HiergenError("is a training of itself", place=place)
    try:
        return replace(find_model(model), weights=folder / TRAINED_WEIGHTS)
    except HiergenError as error:
        weights = shlex.quote(str(folder / TRAINED_WEIGHTS))
        error.hint = f"name where the model is now: MODEL --weights {weights}"
        raise error.at(place) from None


def run_source(source: str, path: Path) -> ModuleType:
    """The text as the module of that file, in sys.modules; one that was made of the same text is used again.

    Raises HiergenError for a text that cannot be imported.
    """
    place, full = unquoted(path), path.resolve()
    digest = hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()
    stem = re.sub(r"\W", "_", path.stem, flags=re.ASCII)
    name = f"hiergen_model_{stem}_{hashlib.sha256(str(full).encode('utf-8', 'replace')).hexdigest()[:8]}"
    loaded = sys.modules.get(name)
    if loaded is not None and getattr(loaded, "_hiergen_digest", None) == digest:
        return loaded
    spec = spec_from_file_location(name, full)
    assert spec is not None
    module = module_from_spec(spec)
    module._hiergen_digest = digest  # type: ignore[attr-defined]
    sys.modules[name] = module
    try:
        # not through the loader: that would write a __pycache__ beside the user's file
        exec(compile(source, str(full), "exec", dont_inherit=True), module.__dict__)
    except BaseException as error:
        if loaded is None:
            del sys.modules[name]
        else:
            sys.modules[name] = loaded
        if isinstance(error, HiergenError):
            raise error.at(place) from None
        if isinstance(error, _BAD_SOURCE):
            raise _not_imported(place, error) from error
        raise
    return module


def _run(path: Path) -> ModuleType:
    source = read_text(path)
    if path.suffix != ".py":
        raise HiergenError("is no Python file", place=unquoted(path), expected=_FORMS)
    if (path.parent / TRAINING).is_file():  # a training's copy; the file that it was of has the name with timm
        source = _REGISTER.sub("", source)
    return run_source(source, path)


def _not_imported(place: str, error: BaseException) -> HiergenError:
    reason = str(error).splitlines()[0] if str(error) else "no reason given"
    return HiergenError("cannot be imported", place=place, got=f"{type(error).__name__}: {unquoted(reason)}")


def _dotted(module: str, name: str | None) -> ModelRef:
    """ "generated.imagenet100" is ./generated/imagenet100.py where that exists, else what Python's import finds."""
    if re.fullmatch(r"\w+(\.\w+)*", module) is None or module.count(".") > 50:
        raise HiergenError(f"no model {quoted(module)}", expected=_FORMS, hint=_BUILD)
    try:
        imported = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise _not_imported(unquoted(module), error) from error
        modules = [".".join(p.with_suffix("").parts) for p in sorted(FOLDER.glob("*.py"))]
        raise HiergenError(
            f"no module {quoted(module)}", expected=_FORMS, nearest=nearest(module, modules), hint=_BUILD
        ) from None
    except _BAD_SOURCE as error:
        raise _not_imported(unquoted(module), error) from error
    file = getattr(imported, "__file__", None)
    return network_in(imported, name, Path(file) if file else None)


def network_in(module: ModuleType, name: str | None, path: Path | None) -> ModelRef:
    """The network class of that name, or the only one."""
    place = unquoted(path or module.__name__)
    classes = {
        key: value
        for key, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, HierarchicalNetwork) and value.__module__ == module.__name__
    }
    if not classes:
        alone = vars(module).get("HierarchicalNetwork", HierarchicalNetwork) is not HierarchicalNetwork
        hint = "its networks stand alone: name the file that was built without --standalone" if alone else _BUILD
        raise HiergenError("holds no network of hiergen.nn", place=place, hint=hint)
    if name is None and len(classes) > 1:
        raise HiergenError(
            f"holds {len(classes)} networks", place=place, expected=f"FILE:NAME, one of {listed(classes, 8)}"
        )
    if name is not None and name not in classes:
        lower = {key.lower(): key for key in classes}
        close = tuple(lower[key] for key in nearest(name.lower(), lower))
        raise HiergenError(
            f"has no network {quoted(name)}", place=place, expected=f"one of {listed(classes, 8)}", nearest=close
        )
    cls = classes[name] if name is not None else next(iter(classes.values()))
    text = read_text(path) if path is not None and path.suffix == ".py" else ""
    registered = next((key for key, of in registered_in(text).items() if of == cls.__name__), None)
    return ModelRef(cls, path, registered)


def _registered(name: str) -> ModelRef:
    """The class behind a name that timm knows; built once without memory, as timm keeps functions only."""
    entry = timm.model_entrypoint(name)
    source = getattr(entry, "hiergen_source", None)
    if source is None:
        raise HiergenError(
            f"timm's {quoted(name)} is no network of hiergen, it has no branches",
            hint="name a model that 'hiergen build' wrote",
        )
    with torch.device("meta"):
        network = entry()
    assert isinstance(network, HierarchicalNetwork)
    return ModelRef(type(network), Path(source[1]) if source[1] else None, name)


def _named(text: str) -> ModelRef:
    """A name registered by one of the files in ./generated; nothing is run but the file that has it."""
    homes: dict[str, list[tuple[Path, str]]] = {}
    for path in sorted(FOLDER.glob("*.py")):
        for name, cls in registered_in(read_text(path)).items():
            homes.setdefault(name, []).append((path, cls))
    matches = homes.get(text, [])
    if len(matches) == 1:
        path, cls = matches[0]
        return network_in(_run(path), cls, path)
    if matches:
        files = ", ".join(f"{path}:{cls}" for path, cls in matches)
        raise HiergenError(f"{quoted(text)} is registered by {len(matches)} files", hint=f"name one: {files}")
    low = text.lower()
    close = nearest(low, homes) or tuple(name for name in homes if low and name.endswith(f"_{low}"))[:3]
    raise HiergenError(f"no model {quoted(text)}", expected=None if close else _FORMS, nearest=close, hint=_BUILD)
