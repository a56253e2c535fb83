"""A network in plain form as readable source and weights, for people who have torch and nothing else."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import timm
import torch
from safetensors.torch import save
from torch import Tensor, nn

from hiergen._version import __version__
from hiergen.errors import HiergenError
from hiergen.files import check_replaceable, put, staging, writing
from hiergen.models.export.deploy import Exported, Form, compare, deployed, describe, examples
from hiergen.nn import plain_layers
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.plain import PlainNetwork
from hiergen.nn.plain_layers import (
    ChannelNorm,
    Copies,
    Gain,
    PadSame,
    PerChild,
    Residual,
    Scores,
    SqueezeExcite,
)
from hiergen.nn.trunk import Trunk, stage_index
from hiergen.taxonomy.naming import identifier

if TYPE_CHECKING:
    from hiergen.models.weightsfile import CutoutProvenance

WIDTH = 120
MARK = "hiergen's plain form"  # in the source and in the weights
_LICENSE = f"""\
# A network in {MARK}; `hiergen export --format plain` writes it anew.
# Contains parts of hiergen {__version__}, Copyright the hiergen authors; the rest is what it generated.
# Licensed under the Apache License, Version 2.0: http://www.apache.org/licenses/LICENSE-2.0
# Distributed on an "AS IS" basis, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND.
# SPDX-License-Identifier: Apache-2.0
"""
_READER = '''
def load(path: str | Path) -> NAME:
    """The network with the weights of a .safetensors file, in eval mode."""
    data = Path(path).read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    tensors = {}
    for name, entry in json.loads(data[8:start]).items():
        if name != "__metadata__":
            first, end = (start + offset for offset in entry["data_offsets"])
            dtype = {"F32": torch.float32, "F64": torch.float64, "I64": torch.int64}[entry["dtype"]]
            tensors[name] = torch.frombuffer(bytearray(data[first:end]), dtype=dtype).reshape(entry["shape"])
    network = NAME()
    network.load_state_dict(tensors)
    return network.eval()


if __name__ == "__main__":
    network = load(Path(__file__).with_suffix(".safetensors"))
    print(network(torch.rand(1, *INPUT_SIZE)).shape)
'''


def to_plain(
    network: HierarchicalNetwork,
    path: str | Path,
    *,
    provenance: CutoutProvenance | None = None,
    **options: Any,
) -> Exported:
    """Write the plain form as one Python file, with its weights in the .safetensors beside it, and run it.

    It needs torch only, where the trunk is a ResNet, an EfficientNet, a MobileNet or a ConvNeXt; other trunks import
    timm. `options` are `Form`'s. Raises HiergenError for a file that is in the way, and for logits that differ.
    """
    path, form = Path(path), Form(**options)
    check_replaceable(path)
    for file, what in ((path, "another Python file"), (path.with_suffix(".safetensors"), "weights of another kind")):
        if file.exists() and MARK.encode() not in file.read_bytes():
            raise HiergenError(f"is {what}", place=str(file), hint="name another file with -o")
    plain = deployed(network, form).network
    if not isinstance(plain.trunk, nn.Sequential):
        if network.trunk.tokens or not network.trunk.is_timm:
            what = "tokens" if network.trunk.tokens else "a module that is not timm's"
            raise HiergenError(f"a trunk of {what} has no source", hint="onnx, pt2 and the other formats take it")
        plain.trunk = _TimmTrunk(network.trunk)
    text = write_source(network, plain)
    name = _class_name(network)
    metadata = {f"hiergen.{key}": value for key, value in describe(network, provenance).items()}
    with writing(path), staging(path) as folder:
        source, weights = folder / path.name, folder / path.with_suffix(".safetensors").name
        source.write_text(text, "utf-8")
        weights.write_bytes(save({k: v.contiguous() for k, v in plain.state_dict().items()}, metadata | {"form": MARK}))
        space: dict[str, Any] = {"__name__": "plain", "__file__": str(source)}
        exec(compile(text, str(source), "exec"), space)
        again = space["load"](weights)

        def run(*inputs: Tensor) -> Tensor:
            with torch.no_grad():
                return again(*inputs)  # type: ignore[no-any-return]

        difference = compare(network, form, run, f"the source ({name})")
        for file in (weights, source):
            put(file, path.parent / file.name)
    files = (path, path.with_suffix(".safetensors"))
    size = sum(file.stat().st_size for file in files)
    lines = text.count("\n")
    needs = "torch only" if isinstance(plain.trunk, nn.Sequential) else "torch and timm"
    return Exported(
        path,
        "plain",
        files,
        size,
        f"torch {torch.__version__}",
        form.batches,
        dynamic=True,
        difference=difference,
        note=f"{lines} lines that need {needs}",
    )


def write_source(network: HierarchicalNetwork, plain: PlainNetwork) -> str:
    """The text of the file."""
    name = _class_name(network)
    has_timm = isinstance(plain.trunk, _TimmTrunk)
    parts = [("trunk", plain.trunk), *((f"level{j}", level) for j, level in enumerate(plain.levels, 1))]
    parts.append(("head", plain.head))
    shapes = _shapes(network, plain)
    body = [f"class {name}(nn.Module):", f'    """{_title(network)}"""', ""]
    body += ["    def __init__(self) -> None:", "        super().__init__()"]
    for part, module in parts:
        call = _Call("TimmTrunk") if isinstance(module, _TimmTrunk) else _call(module)
        body += [f"        # -> {shapes[part]}", f"        self.{part} = {call.text(8, len(part) + 16)}"]
    gains = ", gains: Tensor" if plain.steerable else ""
    body += [
        "",
        f"    def forward(self, x: Tensor{gains}) -> Tensor:",
        *_doc(network, plain),
        *([f"        assert tuple(x.shape[2:]) == {plain.input_size[1:]}  # its padding is"] * plain.has_one_size),
        "        x = self.trunk(x)",
    ]
    for j in range(1, plain.depth + 1):
        if plain.steerable:
            body += [f"        for block in self.level{j}:"]
            body += ["            x = block(x, gains) if isinstance(block, Gain) else block(x)"]
        else:
            body += [f"        x = self.level{j}(x)"]
    body += ["        return self.head(x)", ""]
    text = "\n".join(body)
    trunk = f"\n\n{_timm_source(network.trunk)}" if has_timm else ""
    layers = _needed_layers(text + trunk)
    used = text + trunk + layers
    labels = dict(zip(plain.classes, network.nesting.labels, strict=True))
    entries = "".join(f"    {_quote(key)}: {_quote(value)},\n" for key, value in labels.items())
    cfg = network.pretrained_cfg
    values = [f"CLASSES = {{\n{entries}}}  # id: name, in the order of the logits"]
    values += [f"INPUT_SIZE = {tuple(network.trunk.input_size)!r}"]
    values += [f"{key.upper()} = {tuple(cfg[key])!r}" for key in ("mean", "std") if cfg.get(key) is not None]
    values[-1] += "  # of pixels scaled to 0 … 1" if len(values) > 2 else ""
    if (rejection := network.rejection) is not None:
        values += [f"THRESHOLD = {rejection.threshold!r}  # an image whose largest logit is below it shows no class"]
        values += [f"TEMPERATURE = {rejection.temperature!r}  # divide logits by it before a softmax"]
    imports = [
        "import json",
        *(["from collections.abc import Callable, Sequence"] if "Sequence[" in used or "Callable[" in used else []),
        *(["from itertools import groupby"] if "groupby(" in used else []),
        "from pathlib import Path",
        "",
        *(["import timm"] if has_timm else []),
        "import torch",
        *(["import torch.nn.functional as F"] if "F." in layers else []),
        "from torch import Tensor, nn",
    ]
    head = f'"""{name} in plain form: {_title(network)}\n\n>>> network = load("FILE.safetensors")\n"""\n'
    pieces = [head, _LICENSE, "from __future__ import annotations\n", "\n".join(imports) + "\n", "\n".join(values)]
    return "\n".join(pieces) + f"\n\n\n{layers}{trunk}\n\n\n{text}{_READER.replace('NAME', name)}"


@dataclass
class _Call:
    """`name(*args)`, or a text alone."""

    name: str
    args: Sequence[_Call | str] | None = ()

    def flat(self) -> str:
        if self.args is None:
            return self.name
        return f"{self.name}({', '.join(a if isinstance(a, str) else a.flat() for a in self.args)})"

    def text(self, indent: int, used: int | None = None) -> str:
        """On one line if that fits below column `WIDTH`, else an argument a line."""
        flat = self.flat()
        if (indent if used is None else used) + len(flat) + 1 <= WIDTH or not self.args:
            return flat
        inner, rows = indent + 4, []
        for arg, count in _repeats(self.args):
            line = _wrapped(arg, inner) if isinstance(arg, str) else arg.text(inner + 4 * (count > 2))
            if count > 2:
                rows.append(f"*({line} for _ in range({count}))")
            else:
                rows += [line] * count
        return f"{self.name}(\n" + "".join(f"{' ' * inner}{row},\n" for row in rows) + f"{' ' * indent})"


def _repeats(args: Iterable[_Call | str]) -> list[tuple[_Call | str, int]]:
    counted: list[tuple[_Call | str, int]] = []
    for arg in args:
        text = arg if isinstance(arg, str) else arg.flat()
        last = counted[-1][0] if counted else ""
        if not isinstance(arg, str) and not isinstance(last, str) and last.flat() == text:
            counted[-1] = (arg, counted[-1][1] + 1)
        else:
            counted.append((arg, 1))
    return counted


def _wrapped(text: str, indent: int) -> str:
    """An argument that is a long tuple, on several lines."""
    if indent + len(text) + 1 <= WIDTH:
        return text
    before, _, numbers = text.partition("(")
    gap = " " * (indent + 4)
    lines = textwrap.wrap(numbers.removesuffix(")"), WIDTH, initial_indent=gap, subsequent_indent=gap)
    return "\n".join([f"{before}(", *lines, f"{' ' * indent})"])


def _call(module: nn.Module) -> _Call:
    """The constructor call that makes these layers. Raises HiergenError for a layer that it does not know."""
    if (made := getattr(module, "call", None)) is not None:
        function, args, options = made
        return _Call(function.__name__, [*map(_argument, args), *_options(function, options)])
    if type(module) is nn.Sequential:
        return _Call("nn.Sequential", [_call(child) for child in module])
    if isinstance(module, Residual):
        parts = [module.body, module.skip, module.act]
        while parts[-1] is None:
            parts.pop()
        return _Call("Residual", ["None" if part is None else _call(part) for part in parts])
    if isinstance(module, nn.Conv2d):
        return _Call("nn.Conv2d", _conv(module))
    if isinstance(module, ChannelNorm):
        words = _positional((module.branches, module.eps), (1, 1e-6))
        affine = [] if module.weight is None else ["affine=True"]
        return _Call("ChannelNorm", [str(module.channels), *words, *affine])
    if isinstance(module, SqueezeExcite):
        sizes = [str(module.reduce.in_channels), str(module.reduce.out_channels)]
        return _Call("SqueezeExcite", [*sizes, _call(module.act), _call(module.gate)])
    if isinstance(module, Scores):
        channels, counts, order = module.arguments
        return _Call("Scores", [str(channels), _numbers(counts), _numbers(order)])
    if isinstance(module, Gain):
        return _Call("Gain", [str(module.channels), _numbers(module.columns.tolist())])
    if isinstance(module, PerChild):
        return _Call("PerChild", [str(module.arguments[0]), _numbers(module.arguments[1])])
    if isinstance(module, PadSame):
        return _Call("PadSame", [str(module.kernel), str(module.stride)])
    if type(module).__module__.startswith("torch.nn.modules"):
        return _Call(f"nn.{type(module).__name__}", _own_options(module))
    if isinstance(module, Copies):
        raise HiergenError("copies of other libraries' blocks have no source", hint="onnx and pt2 take them")
    raise HiergenError(f"a layer of the kind {type(module).__name__} has no source")


def _conv(conv: nn.Conv2d) -> list[str]:
    kernel, stride, padding, dilation = map(_short, (conv.kernel_size, conv.stride, conv.padding, conv.dilation))
    words = [str(conv.in_channels), str(conv.out_channels), repr(kernel)]
    words += [f"stride={stride!r}"] if stride != 1 else []
    words += [f"padding={padding!r}"] if padding != 0 else []
    words += [f"dilation={dilation!r}"] if dilation != 1 else []
    words += [f"groups={conv.groups}"] if conv.groups != 1 else []
    return words


def _own_options(module: nn.Module) -> list[str]:
    """Arguments of an activation, a pool or a padding that are not the default."""
    words = []
    for name, parameter in inspect.signature(type(module).__init__).parameters.items():
        if name in ("self", "args", "kwargs") or not hasattr(module, name):
            continue
        value, usual = _short(getattr(module, name)), parameter.default
        if value != usual and not (name == "stride" and value == _short(getattr(module, "kernel_size", None))):
            words.append(repr(value) if usual is parameter.empty else f"{name}={value!r}")
    return words


def _options(function: Callable[..., Any], options: dict[str, Any]) -> list[_Call | str]:
    defaults = {name: p.default for name, p in inspect.signature(function).parameters.items()}
    shown = {name: value for name, value in options.items() if value is None or value != defaults[name]}
    shown = {name: value for name, value in shown.items() if not (value is None and defaults[name] is None)}
    return [f"{name}={_flat(_argument(value))}" for name, value in shown.items()]


def _flat(argument: _Call | str) -> str:
    return argument if isinstance(argument, str) else argument.flat()


def _argument(value: Any) -> _Call | str:
    if isinstance(value, nn.Module):
        return _call(value)
    if isinstance(value, type):
        return f"nn.{value.__name__}"
    if isinstance(value, tuple | list):
        return _numbers(value)
    return repr(value)


def _numbers(values: Sequence[int]) -> str:
    values = tuple(values)
    if len(values) > 2 and values == tuple(range(len(values))):
        return f"range({len(values)})"
    if len(values) > 2 and len(set(values)) == 1:
        return f"({values[0]},) * {len(values)}"
    return repr(values)


def _positional(values: Sequence[Any], usual: Sequence[Any]) -> list[str]:
    words = [repr(value) for value in values]
    while words and values[len(words) - 1] == usual[len(words) - 1]:
        words.pop()
    return words


def _short(pair: Any) -> Any:
    return pair[0] if isinstance(pair, tuple) and pair and len(set(pair)) == 1 else pair


def _needed_layers(text: str) -> str:
    """The definitions of `hiergen.nn.plain_layers` that a text uses, and those that these use."""
    source = inspect.getsource(plain_layers)
    lines = source.splitlines()
    definitions = {
        node.name: "\n".join(lines[node.lineno - 1 : node.end_lineno])
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
    }
    needed: set[str] = set()
    waiting = [text]
    while waiting:
        words = {node.id for node in ast.walk(ast.parse(waiting.pop())) if isinstance(node, ast.Name)}
        for name in (words & definitions.keys()) - needed:
            needed.add(name)
            waiting.append(definitions[name])
    return "\n\n\n".join(code for name, code in definitions.items() if name in needed)


class _TimmTrunk(nn.Module):
    """A trunk whose backbone has no layers of torch's alone, as its source has it."""

    tokens = False

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.model, self.index = trunk.model, trunk.index

    forward = Trunk.forward


def _timm_source(trunk: Trunk) -> str:
    options = "".join(f", {key}={value!r}" for key, value in _timm_options(trunk).items())
    index, end = stage_index(trunk.backbone, trunk.until)
    lines = [
        "class TimmTrunk(nn.Module):",
        f'    """timm\'s {trunk.backbone} up to {trunk.until}."""',
        "",
        "    def __init__(self) -> None:",
        "        super().__init__()",
    ]
    if trunk.index is None:
        lines += [
            f'        options = {{"features_only": True, "out_indices": ({index},)}}',
            f'        self.model = timm.create_model("{trunk.backbone}"{options}, **options)',
            "",
            "    def forward(self, x: Tensor) -> Tensor:",
            "        return self.model(x)[-1]",
        ]
        return "\n".join(lines)
    lines += [f'        self.model = timm.create_model("{trunk.backbone}"{options})']
    if hasattr(trunk.model, "prune_intermediate_layers"):
        lines += [f"        self.model.prune_intermediate_layers([{index}], prune_norm=True, prune_head=True)"]
    if end is not None:
        lines += [f"        self.model.blocks = self.model.blocks[:{end}]"]
        lines += [f"        self.model.stage_ends[{trunk.index}] = {end}"]
    lines += [
        "",
        "    def forward(self, x: Tensor) -> Tensor:",
        "        maps = self.model.forward_intermediates(",
        f'            x, indices=[{trunk.index}], norm=False, output_fmt="NCHW", intermediates_only=True',
        "        )",
        "        return maps[-1]",
    ]
    return "\n".join(lines)


def _timm_options(trunk: Trunk) -> dict[str, Any]:
    channels, *size = trunk.input_size
    cfg = timm.get_pretrained_cfg(trunk.backbone)
    options: dict[str, Any] = {} if channels == 3 else {"in_chans": channels}
    if cfg is not None and cfg.fixed_input_size and tuple(cfg.input_size[1:]) != tuple(size):
        options["img_size"] = tuple(size)
    return options


def _shapes(network: HierarchicalNetwork, plain: PlainNetwork) -> dict[str, str]:
    shapes: dict[str, str] = {}
    names = ["trunk", *(f"level{j}" for j in range(1, plain.depth + 1)), "head"]
    form = Form(steerable=plain.steerable)
    with torch.no_grad():
        x, *gains = examples(network, form, 1)
        for name in names:
            part = plain.get_submodule(name)
            for block in part.children() if name.startswith("level") else [part]:
                x = block(x, *gains) if isinstance(block, Gain) else block(x)
            shapes[name] = f"(B, {', '.join(map(str, x.shape[1:]))})"
    return shapes


def _class_name(network: HierarchicalNetwork) -> str:
    return identifier(type(network).__name__)


def _title(network: HierarchicalNetwork) -> str:
    branches = " → ".join(str(level.branches) for level in network.levels)
    count = network.num_classes
    return f"{count} classes; {branches} branches on {network.trunk.backbone} up to {network.trunk.until}."


def _doc(network: HierarchicalNetwork, plain: PlainNetwork) -> list[str]:
    images = f"(B, {', '.join(map(str, network.trunk.input_size))})"
    gains = f" and gains (1 or B, {len(network.nodes)})" if plain.steerable else ""
    return [f'        """Normalized images {images}{gains} to logits (B, {network.num_classes})."""']


def _quote(text: str) -> str:
    return ast.unparse(ast.Constant(text)) if '"' in text or not text.isprintable() or "\\" in text else f'"{text}"'
