"""A timm trunk in plain form: ResNets, EfficientNets, MobileNets and ConvNeXts anew from torch's own layers, any other
as timm has it; batch norms in the kernels."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from hiergen.nn.plain_kernels import (
    Kernel,
    MapSize,
    after_norm,
    after_shift,
    fill,
    fold_norm,
    made,
    same_padding,
    set_response,
)
from hiergen.nn.plain_layers import (
    ChannelNorm,
    PadSame,
    Residual,
    SqueezeExcite,
    bottleneck,
    convnext_block,
    inverted_residual,
)

LIMIT = 1e-4  # of the largest value: what rounding may make of a trunk
_ACTS = {
    name: getattr(nn, name)
    for name in ("ReLU", "ReLU6", "SiLU", "Hardswish", "Hardsigmoid", "Sigmoid", "GELU", "Tanh", "Mish", "LeakyReLU")
}
_ACTS["Swish"] = nn.SiLU
_IN_PLACE = ("ReLU", "ReLU6", "SiLU", "Swish", "Hardswish", "Mish")


class UnknownLayerError(Exception):
    """A layer of timm's that has no plain form here; the trunk stays timm's."""


def plain_trunk(trunk: Any, input_size: Sequence[int], *, open_size: bool = False) -> nn.Module:
    """A trunk `(B, C, H, W)` to maps in eval mode, with weights of its own.

    It is an `nn.Sequential` of torch's layers where the backbone's are known; else timm's own, its norms folded where
    they follow a convolution. `open_size`: padding follows the image's size.
    """
    height, width = input_size[1:]
    try:
        layers = nn.Sequential(*_Chain(None if open_size else (height, width)).of_trunk(trunk)).eval()
        layers.to(next(trunk.parameters()).dtype)
        if _agree(trunk, layers, input_size):
            return layers
    except UnknownLayerError:
        pass
    return fold_norms(trunk, input_size)


def fold_norms(module: nn.Module, input_size: Sequence[int]) -> nn.Module:
    """A copy in eval mode whose batch norms are in the convolutions before them, where a norm alone reads those.

    Which those are, a run on an image of `input_size` (C, H, W) shows.
    """
    module = copy.deepcopy(module).eval()
    answers: dict[int, nn.Conv2d] = {}  # of convolutions, by their id
    pairs: list[tuple[nn.Conv2d, Any]] = []
    kept: list[Tensor] = []  # as long as they live no other tensor has their id

    def note(layer: nn.Module, args: tuple[Tensor, ...], answer: Tensor) -> None:
        if isinstance(layer, nn.Conv2d):
            answers[id(answer)] = layer
            kept.append(answer)
        elif (conv := answers.pop(id(args[0]), None)) is not None:
            pairs.append((conv, layer))

    hooks = [m.register_forward_hook(note) for m in module.modules() if isinstance(m, nn.Conv2d) or _is_norm(m)]
    weight = next(module.parameters())
    image = torch.rand(1, *input_size, dtype=weight.dtype, device=weight.device)
    with torch.no_grad():
        want = module(image)
        for hook in hooks:
            hook.remove()
        before = copy.deepcopy(module)
        homes = {id(child): (parent, name) for parent in module.modules() for name, child in parent.named_children()}
        for conv, norm in pairs:
            if type(conv).__name__ not in ("Conv2d", "Conv2dSame") or norm.running_mean is None:
                continue  # kernels that are computed anew each time, or statistics of the batch
            scale, shift = norm_affine(norm)
            bias = None if conv.bias is None else conv.bias[None].double()
            kernel, total = fold_norm(conv.weight[None].double(), scale[None], shift[None], bias)
            conv.weight = nn.Parameter(kernel[0].to(weight.dtype))
            conv.bias = nn.Parameter(total[0].to(weight.dtype))
            parent, name = homes[id(norm)]
            act = getattr(norm, "act", None)
            parent.add_module(name, nn.Identity() if act is None else act)
        return module if is_close(module(image), want) else before


def norm_affine(norm: Any) -> tuple[Tensor, Tensor]:
    """Scale and shift `(C,)`, in float64, that a batch norm amounts to in eval mode."""
    if norm.running_mean is None:
        raise UnknownLayerError("a norm without running statistics")
    mean, var = norm.running_mean.double(), norm.running_var.double()
    scale = torch.rsqrt(var + norm.eps)
    if norm.weight is not None:
        scale = scale * norm.weight.detach().double()
    shift = -mean * scale
    return scale, shift if norm.bias is None else shift + norm.bias.detach().double()


def _agree(trunk: nn.Module, layers: nn.Module, input_size: Sequence[int]) -> bool:
    """Whether both compute the same of an image."""
    weight = next(trunk.parameters())
    image = torch.rand(1, *input_size, dtype=weight.dtype, device=weight.device)
    training = {module: module.training for module in trunk.modules()}
    try:
        with torch.no_grad():
            want = trunk.eval()(image)
            got = layers.to(weight.device)(image)
    finally:
        for module, flag in training.items():
            module.training = flag
    return is_close(got, want)


def is_close(got: Tensor, want: Tensor) -> bool:
    """Whether both are the same, to rounding."""
    limit = max(LIMIT, 8 * torch.finfo(want.dtype).eps)
    return got.shape == want.shape and bool((got - want).abs().max() <= limit * want.abs().max())


def _is_norm(module: Any) -> bool:
    """A batch norm, or one that timm froze."""
    return isinstance(module, _BatchNorm) or type(module).__name__.startswith("FrozenBatchNorm")


class _Chain:
    """timm's modules, in the order in which they run, as torch's layers. It follows the size of the maps."""

    def __init__(self, size: MapSize) -> None:
        self.size = size

    def of_trunk(self, trunk: Any) -> Iterator[nn.Module]:
        """The layers of a trunk. Raises UnknownLayerError."""
        model: Any = getattr(trunk, "model", trunk)
        kind = type(model).__name__
        if not getattr(trunk, "is_timm", True):
            raise UnknownLayerError(kind)  # torchvision's classes have the names of timm's
        if kind == "ResNet":
            stem = [model.conv1, model.bn1, model.act1, model.maxpool]
            stages = [getattr(model, f"layer{i}") for i in range(1, 5)]
        elif kind in ("EfficientNet", "MobileNetV3"):
            stem, stages = [model.conv_stem, model.bn1], list(model.blocks)
        elif kind == "ConvNeXt":
            stem, stages = list(model.stem), list(model.stages)
        else:
            raise UnknownLayerError(kind)
        yield from self.layers(stem)
        for stage in stages:
            if layers := self.layers([stage]):  # none where timm cut it off
                yield nn.Sequential(*layers)

    def layers(self, modules: Iterable[Any]) -> list[nn.Module]:
        """Plain layers of modules that run one after the other."""
        flat = list(_flat(modules))
        plain: list[nn.Module] = []
        while flat:
            module = flat.pop(0)
            kind = type(module).__name__
            if isinstance(module, nn.Conv2d):
                norm = flat.pop(0) if flat and _is_norm(flat[0]) else None
                plain += self.conv(module, norm)
            elif isinstance(module, nn.LayerNorm):
                plain.append(_layer_norm(module))
            elif isinstance(module, nn.MaxPool2d | nn.AvgPool2d):
                plain.append(copy.deepcopy(module))
                self.size = _pooled(module, self.size)
            elif kind in _ACTS or kind == "GELUTanh":
                plain.append(activation(module))
            elif kind in ("SqueezeExcite", "SEModule"):
                plain.append(_excite(module))
            elif kind in _BLOCKS:
                plain += _BLOCKS[kind](self, module)
            else:
                raise UnknownLayerError(kind)
        return plain

    def conv(self, conv: Any, norm: Any) -> list[nn.Module]:
        """A convolution with its norm, what pads it before and what the norm does after."""
        if type(conv).__name__ not in ("Conv2d", "Conv2dSame"):
            raise UnknownLayerError(type(conv).__name__)
        layers: list[nn.Module] = []
        padding = conv.padding
        if type(conv).__name__ == "Conv2dSame":
            pad, padding = self.same(conv)
            layers += [] if pad is None else [pad]
        sizes = {"kernel_size": _short(conv.kernel_size), "stride": _short(conv.stride), "padding": _short(padding)}
        plain = nn.Conv2d(
            conv.in_channels, conv.out_channels, **sizes, dilation=_short(conv.dilation), groups=conv.groups
        )
        weight = conv.weight.detach().double()[None]
        bias = torch.zeros(conv.out_channels) if conv.bias is None else conv.bias.detach()
        kernel: Kernel = weight, bias.double()[None]
        if norm is not None:
            scale, shift = norm_affine(norm)
            kernel = fold_norm(weight, scale[None], shift[None], None if conv.bias is None else kernel[1])
        fill(plain, [kernel], conv.weight.dtype)
        if type(conv).__name__ == "Conv2d":
            self.size = _strided(conv, self.size)
        layers.append(plain)
        act = getattr(norm, "act", None)
        if act is not None and not isinstance(act, nn.Identity):
            layers += self.layers([act])
        return layers

    def same(self, conv: Any) -> tuple[nn.Module | None, int | tuple[int, int]]:
        """What pads before a convolution with TensorFlow's SAME, and what is left for itself to pad."""
        (kernel, _), (stride, _) = conv.kernel_size, conv.stride
        if conv.dilation != (1, 1) or conv.kernel_size != (kernel, kernel) or conv.stride != (stride, stride):
            raise UnknownLayerError("an uneven Conv2dSame")
        pad, padding, self.size = same_padding(kernel, stride, self.size)
        return pad, padding

    # blocks of timm's

    def basic_block(self, block: Any) -> list[nn.Module]:
        body = [block.conv1, block.bn1, block.drop_block, block.act1, block.aa, block.conv2, block.bn2, block.se]
        return [self.residual(body, block.downsample, block.act2)]

    def bottleneck(self, block: Any) -> list[nn.Module]:
        body = [block.conv1, block.bn1, block.act1, block.conv2, block.bn2, block.drop_block, block.act2, block.aa]
        body += [block.conv3, block.bn3, block.se]
        plain = self.residual(body, block.downsample, block.act3)
        sizes = block.conv1.in_channels, block.conv1.out_channels, block.conv3.out_channels
        options = {"stride": block.conv2.stride[0], "project": block.downsample is not None}
        return [_recognized(plain, bottleneck, *sizes, **options)]

    def residual(self, body: list[Any], downsample: Any, act: Any) -> nn.Module:
        before = self.size
        layers = self.layers(body)
        after, self.size = self.size, before
        skip = [] if downsample is None else self.layers([downsample])
        self.size = after
        shortcut = nn.Sequential(*skip) if len(skip) > 1 else skip[0] if skip else None
        return Residual(nn.Sequential(*layers), shortcut, activation(act))

    def inverted_residual(self, block: Any) -> list[nn.Module]:
        names = ("conv_s2d", "bn_s2d", "conv_pw", "bn1", "conv_dw", "bn2", "aa", "se", "conv_pwl", "bn3")
        plain = self.chained(block, names)
        layers = list((plain.body if isinstance(plain, Residual) else plain).children())
        if len(layers) < 5 or not hasattr(layers[1], "inplace"):
            return [plain]
        sizes = block.conv_pw.in_channels, block.conv_pw.out_channels, block.conv_pwl.out_channels
        options = {"kernel": block.conv_dw.kernel_size[0], "stride": block.conv_dw.stride[0]}
        special = {
            "pad": next((m for m in layers if isinstance(m, nn.ZeroPad2d | PadSame)), None),
            "excite": next((m for m in layers if isinstance(m, SqueezeExcite)), None),
            "residual": block.has_skip,
        }
        return [_recognized(plain, inverted_residual, *sizes, **options, act=type(layers[1]), **special)]

    def separable(self, block: Any) -> list[nn.Module]:
        return [self.chained(block, ("conv_s2d", "bn_s2d", "conv_dw", "bn1", "aa", "se", "conv_pw", "bn2"))]

    def conv_norm(self, block: Any) -> list[nn.Module]:
        return [self.chained(block, ("conv", "bn1", "aa"))]

    def edge_residual(self, block: Any) -> list[nn.Module]:
        return [self.chained(block, ("conv_exp", "bn1", "aa", "se", "conv_pwl", "bn2"))]

    def conv_norm_act(self, block: Any) -> list[nn.Module]:
        return self.layers([block.conv, block.bn, getattr(block, "aa", None)])

    def universal(self, block: Any) -> list[nn.Module]:
        return [self.chained(block, ("dw_start", "pw_exp", "dw_mid", "se", "pw_proj", "dw_end", "layer_scale"))]

    def chained(self, block: Any, names: Iterable[str]) -> nn.Module:
        """A block whose modules run one after the other, with x added where it does that."""
        layers = nn.Sequential(*self.layers(getattr(block, name) for name in names))
        return Residual(layers) if block.has_skip else layers

    def convnext_stage(self, stage: Any) -> list[nn.Module]:
        layers: list[nn.Module] = []
        if not isinstance(stage.downsample, nn.Identity):
            norm, conv = stage.downsample
            if conv.padding != (0, 0) or type(conv) is not nn.Conv2d:
                raise UnknownLayerError("a downsampling with padding")
            (down,) = self.conv(conv, None)
            weight = conv.weight.detach().double()
            bias = torch.zeros(conv.out_channels) if conv.bias is None else conv.bias.detach().double()
            fill(down, [after_norm(weight[None], bias[None], *_affine(norm))], conv.weight.dtype)
            layers += [ChannelNorm(conv.in_channels, 1, norm.eps), down]
        return layers + self.layers(stage.blocks)

    def convnext_block(self, block: Any) -> list[nn.Module]:
        conv, mlp, norm = block.conv_dw, block.mlp, block.norm
        if not isinstance(block.shortcut, nn.Identity) or not isinstance(norm, nn.LayerNorm) or conv.bias is None:
            raise UnknownLayerError("a ConvNeXt block of another kind")
        grn = mlp.grn if type(mlp).__name__ == "GlobalResponseNormMlp" else None
        if grn is None and not isinstance(mlp.norm, nn.Identity):
            raise UnknownLayerError("a norm in an MLP")
        act = activation(mlp.act)
        plain = made(
            convnext_block,
            conv.out_channels,
            mlp.fc1.weight.shape[0],
            kernel=conv.kernel_size[0],
            eps=norm.eps,
            act=act,
            response=None if grn is None else mlp.fc1.weight.shape[0],
        )
        weights = [layer.weight.detach().double().flatten(1)[None, :, :, None, None] for layer in (mlp.fc1, mlp.fc2)]
        biases = [layer.bias.detach().double()[None] for layer in (mlp.fc1, mlp.fc2)]
        if grn is not None:
            set_response(plain, grn.weight.detach()[None], grn.eps)
            biases[1] = after_shift(weights[1], biases[1], grn.bias.detach().double()[None])
        last = weights[1], biases[1]
        if block.gamma is not None:
            gamma = block.gamma.detach().double()[None]
            last = fold_norm(weights[1], gamma, torch.zeros_like(gamma), biases[1])
        kernels = [
            (conv.weight.detach()[None], conv.bias.detach()[None]),
            after_norm(weights[0], biases[0], *_affine(norm)),
            last,
        ]
        return [fill(plain, kernels, conv.weight.dtype)]


_BLOCKS = {
    "BasicBlock": _Chain.basic_block,
    "Bottleneck": _Chain.bottleneck,
    "InvertedResidual": _Chain.inverted_residual,
    "DepthwiseSeparableConv": _Chain.separable,
    "ConvBnAct": _Chain.conv_norm,
    "EdgeResidual": _Chain.edge_residual,
    "ConvNormAct": _Chain.conv_norm_act,
    "UniversalInvertedResidual": _Chain.universal,
    "ConvNeXtStage": _Chain.convnext_stage,
    "ConvNeXtBlock": _Chain.convnext_block,
}


def activation(module: Any) -> nn.Module:
    """torch's activation for one of timm's. Raises UnknownLayerError."""
    kind = type(module).__name__
    if kind == "GELUTanh":
        return nn.GELU("tanh")
    if kind not in _ACTS or kind == "LeakyReLU":
        raise UnknownLayerError(kind)
    if kind == "GELU" and getattr(module, "approximate", "none") != "none":
        return nn.GELU("tanh")
    act: nn.Module = _ACTS[kind](inplace=True) if kind in _IN_PLACE else _ACTS[kind]()
    return act


def _affine(norm: nn.LayerNorm) -> tuple[Tensor, Tensor]:
    return norm.weight.detach().double()[None], norm.bias.detach().double()[None]


def _layer_norm(norm: nn.LayerNorm) -> nn.Module:
    plain = ChannelNorm(norm.normalized_shape[0], 1, norm.eps, affine=True)
    plain.weight, plain.bias = (nn.Parameter(p.detach().clone()) for p in (norm.weight, norm.bias))
    return plain


def _excite(module: Any) -> nn.Module:
    if type(module).__name__ == "SqueezeExcite":
        first, act, last, gate = module.conv_reduce, module.act1, module.conv_expand, module.gate
    else:
        if getattr(module, "add_maxpool", False) or not isinstance(module.bn, nn.Identity):
            raise UnknownLayerError("a squeeze and excitation of another kind")
        first, act, last, gate = module.fc1, module.act, module.fc2, module.gate
    plain = SqueezeExcite(first.in_channels, first.out_channels, activation(act), activation(gate))
    for new, old in ((plain.reduce, first), (plain.expand, last)):
        fill(new, [(old.weight.detach()[None], old.bias.detach()[None])], old.weight.dtype)
    return plain


def _recognized(plain: nn.Module, function: Any, *args: Any, **options: Any) -> nn.Module:
    """The layers, noted as a call of the function if that makes the same ones."""
    same = made(function, *args, **options)
    if repr(same) == repr(plain):
        plain.call = same.call
    return plain


def _flat(modules: Iterable[Any]) -> Iterator[Any]:
    for module in modules:
        if type(module) is nn.Sequential:
            yield from _flat(module)
        elif module is not None and not isinstance(module, nn.Identity | nn.Dropout) and not _is_drop(module):
            yield module


def _is_drop(module: Any) -> bool:
    return type(module).__name__ in ("DropPath", "DropBlock2d", "DropBlock2D")


def _short(pair: Any) -> Any:
    return pair[0] if isinstance(pair, tuple) and len(set(pair)) == 1 else pair


def _strided(conv: Any, size: MapSize) -> MapSize:
    if size is None:
        return None
    steps = zip(size, conv.kernel_size, conv.stride, conv.padding, conv.dilation, strict=True)
    height, width = ((s + 2 * p - d * (k - 1) - 1) // t + 1 for s, k, t, p, d in steps)
    return height, width


def _pooled(pool: Any, size: MapSize) -> MapSize:
    if size is None:
        return None
    if type(pool) not in (nn.MaxPool2d, nn.AvgPool2d):
        raise UnknownLayerError(type(pool).__name__)
    with torch.no_grad():
        _, height, width = pool(torch.zeros(1, *size)).shape
    return height, width
