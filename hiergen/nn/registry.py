"""Makes generated networks known to timm."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

import timm
from timm.models import load_pretrained

from hiergen.errors import HiergenError, quoted
from hiergen.nn.network import HierarchicalNetwork

C = TypeVar("C", bound="NetworkClass")
_SAVED = ("local-dir", "hf-hub")  # where timm's save_for_hf and push_to_hf_hub put a whole network
_WEIGHT_SOURCES = ("url", "file", "state_dict", "hf_hub_id", "source")


class NetworkClass(Protocol):
    """A subclass of HierarchicalNetwork as generated code writes it."""

    __name__: str
    __module__: str
    nesting: Any
    classes: Any
    input_size: Any
    timm_name: str

    def __call__(self, pretrained: bool = False) -> HierarchicalNetwork: ...


def register(name: str | NetworkClass, name_of_old: str = "") -> Callable[[C], C]:
    """Decorate a generated class with `@register(NAME)`, so that `timm.create_model(NAME)` builds it.

    Files of 0.1 call `register(CLASS, NAME)` below the class.

    Registering a name again from the same module or file replaces it silently. A name that timm or another package
    uses is a HiergenError; one from another generated file makes timm warn. Where a model and its standalone copy are
    both imported, the name means the model, whichever came first.
    """

    def decorate(cls: C) -> C:
        _register(cls, name if isinstance(name, str) else name_of_old)
        return cls

    if not isinstance(name, str):
        _register(name, name_of_old)
    return decorate


def _register(cls: NetworkClass, name: str) -> None:
    module = sys.modules.get(cls.__module__)
    if module is None or cls.__module__ == "builtins":
        raise HiergenError(
            f"{cls.__name__} cannot be registered with timm: its module {quoted(cls.__module__)} is not in sys.modules",
            hint="import its file as a module",
        )
    if not name.isidentifier():
        raise HiergenError("a timm model name must be a Python identifier", got=quoted(name))
    entry = _entrypoint(cls, name)
    entry.hiergen_source = (cls.__module__, getattr(module, "__file__", None))  # type: ignore[attr-defined]
    entry.hiergen_class = cls  # type: ignore[attr-defined]
    entry.hiergen_standalone = cls.__module__ == __name__  # type: ignore[attr-defined]
    old = timm.model_entrypoint(name) if timm.is_model(name) else None
    if old is not None and not hasattr(old, "hiergen_source"):
        raise HiergenError(f"timm has a model {quoted(name)} already", hint="choose another name")

    cls.timm_name = name
    had_all = hasattr(module, "__all__")
    setattr(module, name, entry)  # timm puts the name into the module's __all__
    if old is not None and _is_copy(old, entry) and not old.hiergen_standalone:
        return
    with warnings.catch_warnings():
        if old is not None and (_is_again(old, entry) or _is_copy(old, entry)):
            warnings.simplefilter("ignore")
        timm.models.register_model(entry)
    if not had_all:
        del module.__all__


def _is_again(old: Any, new: Any) -> bool:
    """Whether both entry points come from one module or file."""
    return any(a is not None and a == b for a, b in zip(old.hiergen_source, new.hiergen_source, strict=True))


def _is_copy(old: Any, new: Any) -> bool:
    """Whether two entry points build the same network, and exactly one of them in a file that stands alone."""
    if old.hiergen_standalone == new.hiergen_standalone:
        return False
    return _content(old.hiergen_class) == _content(new.hiergen_class)


def _content(cls: Any) -> tuple[object, ...]:
    code = cls.__init__.__code__
    facts = (cls.__name__, list(cls.classes), cls.nesting.tree(), tuple(cls.input_size))
    return *facts, code.co_code, code.co_consts, code.co_names


def _entrypoint(cls: NetworkClass, name: str) -> Callable[..., HierarchicalNetwork]:
    """The function that timm calls; it takes what timm's scripts pass, and refuses what it cannot do."""

    def entrypoint(
        pretrained: bool = False,
        *,
        pretrained_cfg: object = None,
        pretrained_cfg_overlay: Mapping[str, object] | None = None,
        pretrained_model_args: object = None,  # the other options once more, as timm saved them
        cache_dir: object = None,
        num_classes: int | None = None,
        in_chans: int | None = None,
        img_size: int | tuple[int, int] | None = None,
        global_pool: str | None = None,
        drop_rate: float | None = None,
        drop_path_rate: float | None = None,
        drop_block_rate: float | None = None,
        bn_momentum: float | None = None,
        bn_eps: float | None = None,
        features_only: bool = False,
        out_indices: object = None,
    ) -> HierarchicalNetwork:
        _same(name, "num_classes", num_classes, len(cls.classes), "the taxonomy decides: change it and rebuild")
        channels, height, width = cls.input_size
        _same(name, "in_chans", in_chans, channels, "the trunk is built for it")
        size = (img_size, img_size) if isinstance(img_size, int) else img_size and tuple(img_size)
        _same(name, "img_size", size, (height, width), "change the taxonomy file's input size and rebuild")
        _same(name, "global_pool", global_pool, "avg", "class branches are pooled by averaging")
        for option, rate in (
            ("drop_rate", drop_rate),
            ("drop_path_rate", drop_path_rate),
            ("drop_block_rate", drop_block_rate),
        ):
            _same(name, option, rate, 0, "the branches drop nothing")
        for option, value in (("bn_momentum", bn_momentum), ("bn_eps", bn_eps)):
            _same(name, option, value, None, "set it on the built network's norms")
        if features_only or out_indices is not None:
            raise HiergenError(
                f"{name}: features_only is not possible: the branches' maps are (B, N, C, H, W)",
                hint="use model.forward_features(x), or model.trunk(x) for a map (B, C, H, W)",
            )
        if pretrained:
            _same(name, "cache_dir", cache_dir, None, "set HF_HOME instead")
        _no_weights(name, pretrained_cfg_overlay)
        for key, wish in (pretrained_cfg_overlay or {}).items():
            _same(name, f"pretrained_cfg_overlay[{key!r}]", wish, None, "pass it to timm's data functions instead")
        saved = _fields(pretrained_cfg)
        if saved.get("source") not in _SAVED:
            _no_weights(name, pretrained_cfg)
            return cls(pretrained=pretrained)
        network = cls()
        if pretrained:
            load_pretrained(network, saved, num_classes=len(cls.classes), in_chans=channels)
        return network

    entrypoint.__name__ = entrypoint.__qualname__ = name
    entrypoint.__module__ = cls.__module__
    entrypoint.__doc__ = f"timm's entry point of `{cls.__name__}`; `pretrained` is about its trunk, or a saved folder."
    return entrypoint


def _same(name: str, option: str, value: object, built: object, why: str) -> None:
    """HiergenError unless the option is absent or says what the network is anyway."""
    if value is not None and value != built:
        expected = "nothing" if built is None else repr(built)
        raise HiergenError(f"{name}: {option} cannot be changed", expected=expected, got=repr(value), hint=why)


def _fields(cfg: object) -> dict[str, Any]:
    """What a pretrained_cfg says."""
    return {} if not cfg or isinstance(cfg, str) else dict(cfg if isinstance(cfg, Mapping) else vars(cfg))


def _no_weights(name: str, cfg: object) -> None:
    """HiergenError if a timm pretrained_cfg asks for weights: a generated network has none to fetch."""
    if isinstance(cfg, str):
        raise HiergenError(f"{name}: has no pretrained tag {quoted(cfg)}", hint=f"create {quoted(name)}")
    named = [source for source in _WEIGHT_SOURCES if _fields(cfg).get(source)]
    if named:
        raise HiergenError(
            f"{name}: pretrained_cfg cannot name its weights ({', '.join(named)})", hint="use checkpoint_path"
        )
