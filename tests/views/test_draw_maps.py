"""Maps and heat of branches against plain autograd through the cut out, looped network; and the picture of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor
from toy_networks import built_toy, scrambled

from hiergen.errors import HiergenError
from hiergen.lookup.select import Node
from hiergen.models.load import find_model
from hiergen.nn.network import HierarchicalNetwork
from hiergen.views.draw.maps import branch_maps, draw_maps, read_image, states, typed_nodes


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built_toy(tmp_path_factory.mktemp("drawtoy"), "drawtoy")


def network_of(source: Path, name: str = "N3HL") -> HierarchicalNetwork:
    torch.manual_seed(0)
    network = find_model(f"{source}:{name}").cls().eval()
    scrambled(network)
    return network


def images(network: HierarchicalNetwork, count: int = 2) -> Tensor:
    return torch.rand(count, *network.trunk.input_size, generator=torch.Generator().manual_seed(1))


def slow(network: HierarchicalNetwork, x: Tensor, node: Node) -> tuple[Tensor, Tensor, Tensor]:
    """Maps, score and Grad-CAM of a branch, one image at a time: the cutout of its classes, its branches looped over,
    autograd through the whole of it, and Eqs. 1 and 2 of Selvaraju et al. written out."""
    classes = network.nesting.members(node.level, node.branch)
    part = network.cutout(list(classes)) if len(classes) < network.num_classes else network
    part.set_lowering("loop")
    name = network.nesting.names(node.level)[node.branch]
    at = [part.nesting.path(node.level, i) for i in range(part.levels[node.level - 1].branches)].index(
        network.nesting.path(node.level, node.branch)
    )
    assert part.nesting.names(node.level)[at] == name
    seen: list[Tensor] = []
    handle = part.levels[node.level - 1].register_forward_hook(lambda module, given, out: seen.append(out))
    maps, scores, heats = [], [], []
    for image in x:
        seen.clear()
        score = part.forward_head(part.forward_features(image[None])).sum()
        (gradient,) = torch.autograd.grad(score, seen[0])
        a, g = seen[0][0, at].detach(), gradient[0, at]
        channels, height, width = a.shape
        total = torch.zeros(height, width)
        for k in range(channels):
            alpha = sum(float(g[k, i, j]) for i in range(height) for j in range(width)) / (height * width)
            total += alpha * a[k]
        maps.append(a)
        scores.append(score.detach())
        heats.append(torch.clamp(total, min=0))
    handle.remove()
    return torch.stack(maps), torch.stack(scores), torch.stack(heats)


@pytest.mark.parametrize("name", ["PHL", "N2HL", "N3HL"])
def test_grad_cam_of_every_branch_is_that_of_plain_autograd(source: Path, name: str) -> None:
    network = network_of(source, name)
    x = images(network)
    found = branch_maps(network, x, network.nodes)
    assert [one.node for one in found] == list(network.nodes)
    for one in found:
        maps, score, heat = slow(network, x, one.node)
        assert one.classes == network.nesting.members(one.node.level, one.node.branch)
        torch.testing.assert_close(one.maps, maps, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(one.score, score, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(one.heat, heat, rtol=1e-3, atol=1e-5)
    assert any(float(one.heat.max()) > 1e-4 for one in found)


def test_of_a_class_it_is_class_activation_mapping(source: Path) -> None:
    """Behind average pooling and one linear layer, α is the layer's weight by the size of the map (Selvaraju, 3.1)."""
    network = network_of(source)
    x = images(network, 1)
    for c in range(network.num_classes):
        (one,) = branch_maps(network, x, network.selector.nodes(c))
        area = one.maps.shape[-1] * one.maps.shape[-2]
        wanted = torch.einsum("c,bchw->bhw", network.head.weight[c].detach() / area, one.maps).relu()
        torch.testing.assert_close(one.heat, wanted, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(one.score, network(x)[:, c].detach(), rtol=1e-4, atol=1e-4)


def test_some_branches_are_as_among_all_and_nothing_is_left_behind(source: Path) -> None:
    network = network_of(source)
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    x = images(network)
    every = {one.node: one for one in branch_maps(network, x, network.nodes)}
    for node in network.nodes:
        (one,) = branch_maps(network, x, [node])
        torch.testing.assert_close(one.heat, every[node].heat, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(one.maps, every[node].maps, rtol=1e-4, atol=1e-6)
    assert network.active is None
    assert all(parameter.grad is None for parameter in network.parameters())


def test_gains_are_those_of_attend(source: Path) -> None:
    network = network_of(source)
    x = images(network)
    group = next(node for node in network.nodes if node.level == 1)
    (plain,) = branch_maps(network, x, [group])
    (given,) = branch_maps(network, x, [group], gains={group.name: 1.7})
    with network.attend({group.name: 1.7}):
        (inside,) = branch_maps(network, x, [group])
        seen: list[Tensor] = []
        handle = network.levels[0].register_forward_hook(lambda module, arguments, out: seen.append(out))
        logits = network(x).detach()
        handle.remove()
    torch.testing.assert_close(given.heat, inside.heat)
    torch.testing.assert_close(given.maps, seen[0][:, group.branch].detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(given.score, logits[:, list(given.classes)].sum(1), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(given.maps, plain.maps)


def test_what_cannot_be_compared(source: Path) -> None:
    network = network_of(source)
    with pytest.raises(HiergenError, match=r"model\.eval\(\)"):
        branch_maps(network.train(), images(network), network.nodes[:1])
    network.eval()
    single = network_of(source, "OneBranch")
    with pytest.raises(HiergenError, match="one branch for all classes"):
        branch_maps(single, images(single), [Node(1, 0, "all classes")])
    with pytest.raises(HiergenError, match="no class or group"):
        typed_nodes(network, ["xqzzy"])
    with pytest.raises(HiergenError, match="an empty branch name"):
        typed_nodes(network, [" ,"])
    names = [node.name for node in network.nodes if node.level == 1][:2]
    assert [node.name for node in typed_nodes(network, [",".join(names), names[0]])] == names


def test_the_image_is_what_the_network_sees(source: Path, tmp_path: Path) -> None:
    network = network_of(source)
    file = tmp_path / "red.png"
    Image.new("RGB", (300, 200), (255, 0, 128)).save(file)
    tensor = read_image(file, network)
    assert tensor.shape == (1, *network.trunk.input_size)
    mean, std = (torch.tensor(network.pretrained_cfg[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    colour = (tensor * std + mean).mean((0, 2, 3))
    torch.testing.assert_close(colour, torch.tensor([1.0, 0.0, 128 / 255]), rtol=0, atol=1e-3)
    with pytest.raises(HiergenError, match=r"no such image file; nearest: .*red\.png"):
        read_image(tmp_path / "rod.png", network)
    (tmp_path / "text.jpg").write_text("no image")
    with pytest.raises(HiergenError, match="cannot be read as an image"):
        read_image(tmp_path / "text.jpg", network)


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_pictures_of_many_branches_and_states(source: Path, tmp_path: Path, suffix: str) -> None:
    network = network_of(source)
    x = images(network, 1)
    group = network.nodes[0]
    shown = states(network, x, network.nodes[:3], {group.name: 1.5})
    assert [state.label for state in shown] == ["without gains", f"with {group.name} × 1.5"]
    with network.attend({group.name: 1.5}):
        best = network(x).detach().softmax(1)[0].max(0)
    assert shown[1].best[0] == (int(best.indices), pytest.approx(float(best.values)))
    out = tmp_path / f"maps{suffix}"
    draw_maps(out, network, x, shown, overlay=True, channels=50, trained=False, title="$x^2$ <b>")
    again = tmp_path / f"again{suffix}"
    draw_maps(again, network, x, shown, overlay=True, channels=50, trained=False, title="$x^2$ <b>")
    assert out.read_bytes() == again.read_bytes()
    if suffix == ".svg":
        text = out.read_text("utf-8")
        assert "untrained weights" in text
        assert "Grad-CAM" in text
        assert "&lt;b&gt;" in text
