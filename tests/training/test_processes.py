"""Several processes: what they compute together, and what happens when one of them dies."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
from conftest import Ran

from hiergen.codegen.build import build
from tests.forks import Forked
from tests.training.own_images import CLASSES, folders

ROOT = Path(__file__).parents[2]
TRAIN = (
    "-m",
    "hiergen",
    "train",
    "generated/digits.py:N2HL",
    "--data",
    "digits",
    "--recipe",
    "digits",
)


def port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def start(world: int, *arguments: object) -> list[Forked]:
    """The ranks of one training, with the variables that torchrun sets, and no others."""
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port(), "WORLD_SIZE": str(world), "OMP_NUM_THREADS": "1"}
    shared |= {"LOCAL_WORLD_SIZE": str(world), "CUDA_VISIBLE_DEVICES": ""}
    ranks = []
    for rank in range(world):
        place = shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)} if world > 1 else {"OMP_NUM_THREADS": "1"}
        ranks.append(Forked(arguments, place))
    return ranks


def done(ranks: list[Forked]) -> list[str]:
    """What each rank printed on stdout; all must have ended well."""
    outs = [rank.communicate(timeout=300) for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0] * len(ranks), outs
    return [out for out, _ in outs]


@pytest.mark.parametrize("extra", [(), ("accumulate=2", "loss.name=levels", "optimizer.clip_grad=1", "ema=0.9")])
def test_two_processes_are_one_with_the_same_global_batch(extra: tuple[str, ...], tmp_path: Path) -> None:
    settings = (
        "epochs=2",
        "batch_size=60",
        "optimizer.lr=0.01",
        "augment.color_jitter=0.3",
        "augment.hflip=0.5",
        *extra,
    )
    script = str(Path(__file__).parent / "in_double.py")
    for world, name in ((1, "alone"), (2, "together")):
        done(start(world, script, tmp_path / name, *settings))
    one, two = (safetensors.torch.load_file(tmp_path / name / "last.safetensors") for name in ("alone", "together"))
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-6, atol=1e-8, msg=lambda m, n=name: f"{n}: {m}")
    assert float((one["level1.stages.0.0.bn1.weight"] - 1).abs().max()) > 0.01, "nothing was trained"


def test_a_sharded_network_trains_as_a_whole_one_and_goes_on_after_a_break(tmp_path: Path) -> None:
    settings = ("batch_size=60", "optimizer.lr=0.01", "optimizer.clip_grad=1", "schedule={name: constant}")
    script = str(Path(__file__).parent / "in_double.py")
    done(start(1, script, tmp_path / "alone", "epochs=2", *settings))
    done(start(2, script, tmp_path / "sharded", "epochs=1", "--sharded", *settings))
    done(start(2, script, tmp_path / "sharded", "epochs=2", "--sharded", "--resume", *settings))
    for file in ("last.safetensors", "best.safetensors"):
        one, two = (safetensors.torch.load_file(tmp_path / name / file) for name in ("alone", "sharded"))
        for name, tensor in one.items():
            torch.testing.assert_close(two[name], tensor, rtol=1e-6, atol=1e-8, msg=lambda m, n=name: f"{n}: {m}")


def test_two_processes_train_as_one_command(tmp_path: Path) -> None:
    outs = done(start(2, *TRAIN, "--epochs", 1, "--out", tmp_path / "run"))
    assert "2 processes" in outs[0]
    assert "top-1" in outs[0]
    assert outs[1] == "", "only the first process prints"


def test_two_processes_evaluate_as_one_command_and_name_every_broken_image(tmp_path: Path) -> None:
    folders(tmp_path / "images", 6)
    (tmp_path / "two.yaml").write_text(TAILS, "utf-8")
    build(tmp_path / "two.yaml", tmp_path / "two.py")
    broken = [sorted((tmp_path / "images" / name).rglob("*.png"))[-1] for name in ("Night_Sky", "sand")]
    for path in broken:
        path.write_bytes(b"nothing")
    evaluation = ("-m", "hiergen", "eval", f"{tmp_path}/two.py:N2HL", "--data", tmp_path / "images", "--untrained")
    one, two = (start(world, *evaluation, "--skip-broken", "--json", "--batch-size", 2) for world in (1, 2))
    ((alone, said),) = [rank.communicate(timeout=300) for rank in one]
    (first, first_said), (second, second_said) = [rank.communicate(timeout=300) for rank in two]
    metrics, expected = (json.loads(text, parse_float=lambda x: round(float(x), 6)) for text in (first, alone))
    assert metrics == expected
    assert (second, second_said) == ("", "")
    assert "left out: 2 broken images" in said
    assert first_said == said


TAILS = """\
name: tailed_twice
classes: [Night_Sky, moss, plum, rust, sand]
sources:
  - groups: {cold: [Night_Sky, moss, plum], warm: [rust, sand]}
nesting: {closeness: 0}
models:
  N2HL:
    trunk: {backbone: tf_efficientnet_lite0, until: blocks.3}
    input_size: 64
    budget: {macs: 20M}
    generalist: both
"""


@pytest.mark.parametrize("form", ["generalist", "specialists", "each"])
def test_tails_train_where_parts_of_the_network_do_not_run(form: str, tmp_path: Path) -> None:
    """One form alone; and images that run their own group only, so that a batch may leave a group out."""
    folders(tmp_path / "images", 6)
    (tmp_path / "two.yaml").write_text(TAILS, "utf-8")
    build(tmp_path / "two.yaml", tmp_path / "two.py")
    torch.manual_seed(0)
    flat = timm.create_model("tf_efficientnet_lite0", num_classes=len(CLASSES))
    safetensors.torch.save_file(flat.state_dict(), tmp_path / "flat.safetensors")
    settings = ("epochs=2", "batch_size=4", f"form={form}", "negatives=0", "optimizer.lr=1e-5")
    words = [word for setting in settings for word in ("--set", setting)]
    train = ("-m", "hiergen", "train", f"{tmp_path}/two.py:N2HL", "--data", tmp_path / "images", *words)
    teacher = ("--teacher", tmp_path / "flat.safetensors", "--cache", tmp_path / "cache", "--out", tmp_path / "run")
    outs = done(start(2, *train, *teacher))
    assert "2 processes" in outs[0]
    assert (tmp_path / "run/choice.json").is_file()


LAUNCHERS = {
    "torchrun": ("torch.distributed.run", "--nproc-per-node", "2", f"--master-port={port()}"),
    "accelerate": (
        *("accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"),
        f"--main_process_port={port()}",
    ),
}


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_the_launchers_that_the_manual_names_train_one_network_on_a_machine_without_a_gpu(
    launcher: str, tmp_path: Path
) -> None:
    theirs = {name: value for name, value in os.environ.items() if not re.match("ACCELERATE|OMP|MASTER|RANK", name)}
    command = [sys.executable, "-m", *LAUNCHERS[launcher], "-m", *TRAIN[1:], "--epochs", "1", "--set", "seed=5"]
    command[command.index("generated/digits.py:N2HL")] = str(ROOT / "generated/digits.py:N2HL")
    ended = subprocess.run(
        command,
        env=theirs | {"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("2 processes") == 1, ended.stdout
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["N2HL-digits"]


@pytest.mark.parametrize(
    "variables",
    [
        {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"},  # no address
        {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "no"},
        {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1"},
        {"PMI_SIZE": "3", "PMI_RANK": "0"},
    ],
)
def test_processes_that_cannot_find_each_other_are_refused(variables: dict[str, str], tmp_path: Path) -> None:
    rank = Forked((*TRAIN, "--out", tmp_path / "run"), variables | {"CUDA_VISIBLE_DEVICES": ""})
    _, err = rank.communicate(timeout=100)
    assert rank.returncode == 2, err
    assert re.search(r"error: the [23] processes of this training do not find each other", err)
    assert "Traceback" not in err
    assert not (tmp_path / "run").exists()


def test_the_loss_of_one_process_ends_with_one_message_and_a_state_to_go_on_with(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    arguments = [*TRAIN, "--set", "epochs=2000", "--set", "save_minutes=0.001", "--out", folder]
    ranks = start(2, *arguments)
    wait_for(folder / "checkpoint.safetensors", ranks)
    ranks[1].send_signal(signal.SIGKILL)
    out, err = ranks[0].communicate(timeout=120)
    ranks[1].communicate()
    assert ranks[0].returncode == 2, (out, err)
    lines = [line for line in err.splitlines() if line.startswith("error:")]
    assert len(lines) == 1
    assert re.search(r"another process of this training is gone.*go on with: hiergen train --resume", lines[0])
    assert "Traceback" not in err
    again = start(1, "-m", "hiergen", "train", "--resume", folder, "--set", "epochs=1")
    out, err = again[0].communicate(timeout=300)
    assert again[0].returncode == 0, err


def wait_for(file: Path, ranks: list[Forked]) -> None:
    end = time.monotonic() + 180
    while not file.exists():
        assert all(rank.poll() is None for rank in ranks), [rank.communicate() for rank in ranks]
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.parametrize(
    "words",
    [
        ("predict", "m", "images"),
        ("reject", "m", "--data", "d"),
        ("embed", "m", "--data", "d", "-o", "x.npz"),
        ("grow", "m", "--data", "d", "-o", "x"),
        ("eval", "m", "--data", "d", "-o", "x"),
    ],
)
def test_what_is_one_processs_work_is_refused_once(
    words: tuple[str, ...], hiergen: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each would do all of it, write the same files and print everything again."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    command = "eval -o" if words[0] == "eval" else words[0]
    said = f"error: 'hiergen {command}' is one process's work; got 2 processes; run it without torchrun\n"
    for rank, err in (("0", said), ("1", "")):
        monkeypatch.setenv("LOCAL_RANK", rank)
        ran = hiergen(*words)
        assert (ran.code, ran.out, ran.err) == (2, "", err)
