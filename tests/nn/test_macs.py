"""MACs do not depend on how torch happens to run a layer."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.utils.flop_counter import FlopCounterMode

from hiergen.nn.macs import copied_macs, count_macs


class Mixed(nn.Module):
    """Linear layers with and without bias on permuted maps, a weight made of another, and attention."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.bare, self.biased = nn.Linear(8, 16, bias=False), nn.Linear(16, 8)
        self.position = nn.Parameter(torch.zeros(8, 4))

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x).permute(0, 2, 3, 1)
        y = self.biased(self.bare(y)).flatten(1, 2)
        y = y + (y @ (self.position * 2)).sum(-1, keepdim=True)
        return (y @ y.transpose(1, 2)).softmax(-1) @ y


def test_layers_by_hand() -> None:
    px = 6 * 5
    by_hand = px * (27 * 8 + 8 * 16 + 16 * 8 + 8 * 4)  # no products of maps
    for dtype in (torch.float32, torch.float64):
        network = Mixed().to(dtype)
        for trained in (True, False):
            network.requires_grad_(trained)
            for layout in (torch.contiguous_format, torch.channels_last):
                for batch in (1, 2, 5):
                    x = torch.zeros(batch, 3, 6, 5, dtype=dtype).to(memory_format=layout)
                    assert count_macs(network, x) == batch * by_hand
                    with torch.inference_mode():
                        assert count_macs(network, x) == batch * by_hand
    prune.l1_unstructured(network.bare, "weight", 0.5)
    assert count_macs(network, x) == batch * by_hand
    assert all(p.device.type == "cpu" for p in network.parameters())


LAYERS = ("convolution", "_convolution", "addmm", "mm")  # what linear layers become where weights have gradients


@pytest.mark.parametrize("name", ["twins_svt_small", "halonet_h1", "maxvit_tiny_tf_224", "swinv2_tiny_window8_256"])
def test_timms_networks_by_torchs_counter(name: str) -> None:
    """`benchmarks/macs.py` compares all of them."""
    with torch.device("meta"):
        network = timm.create_model(name).eval()
        x = torch.empty(1, *network.pretrained_cfg["input_size"])
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(x)
    counts = counter.get_flop_counts()["Global"].items()
    want = sum(flops for op, flops in counts if str(op).split(".")[1] in LAYERS) // 2
    assert count_macs(network, x) == want
    assert count_macs(network.requires_grad_(False), x.to(memory_format=torch.channels_last)) == want


def test_a_block_that_branches_copy_is_counted_whole() -> None:
    network = Mixed()
    attention = 2 * (6 * 5) ** 2 * 8
    by_hand = 6 * 5 * (27 * 8 + 8 * 16 + 16 * 8 + 8 * 4) + attention
    for trained in (True, False):
        assert copied_macs(network.requires_grad_(trained), torch.zeros(1, 3, 6, 5)) == by_hand
