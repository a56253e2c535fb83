"""Kill a training at random moments, go on with it each time, and compare the weights with an unbroken run's.

python benchmarks/kill_resume.py [--kills 10] [--epochs 4] [--seed 0] [--model FILE:NAME --data D --set key=value …]

Prints the moment of every kill, what lay in the folder then, and whether the final weights are equal to the bit.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "hiergen", "train", *arguments]


def digest(folder: Path) -> str:
    """sha256 over last and best weights."""
    files = (folder / name for name in ("last.safetensors", "best.safetensors"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="generated/digits.py:N2HL")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--recipe", default="digits")
    parser.add_argument("--set", action="append", default=[], dest="settings")
    options = parser.parse_args()
    # a checkpoint every fraction of a second: kills land in writes, too
    settings = ["save_minutes=0.005", *options.settings]
    asked = [options.model, "--data", options.data, "--recipe", options.recipe]
    asked += [part for setting in settings for part in ("--set", setting)]
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as place:
        whole, broken = Path(place) / "whole", Path(place) / "broken"
        start = time.perf_counter()
        unbroken = subprocess.Popen(command(*asked, "--out", str(whole)), cwd=ROOT, stdout=subprocess.DEVNULL)
        while unbroken.poll() is None and not (whole / "checkpoint.safetensors").exists():
            time.sleep(0.02)
        first = time.perf_counter() - start
        if unbroken.wait():
            sys.exit("the unbroken run failed")
        work = time.perf_counter() - start - first
        print(f"unbroken: first checkpoint after {first:.1f} s, {work:.1f} s more, weights {digest(whole)}", flush=True)
        arguments = [*asked, "--out", str(broken)]
        kills = 0
        while kills < options.kills:
            process = subprocess.Popen(
                command(*arguments), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
            )
            # so that some work is left for the last of them
            wait = first + draw.uniform(-0.3, 1.3) * work / options.kills
            try:
                process.wait(wait)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                kills += 1
                files = sorted(p.name for p in broken.glob("*")) if broken.is_dir() else []
                print(f"kill {kills} after {wait:.2f} s; there: {', '.join(files) or 'nothing'}", flush=True)
            else:
                assert process.stderr is not None
                if process.returncode:
                    sys.exit(f"it ended with {process.returncode}: {process.stderr.read()}")
                print(f"done before kill {kills + 1} was due", flush=True)
                break
            if (broken / "run.json").is_file():
                arguments = ["--resume", str(broken)]
        subprocess.run(command(*arguments), check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
        same = digest(whole) == digest(broken)
        print(f"after {kills} kills: weights {digest(broken)}, {'equal to the bit' if same else 'DIFFERENT'}")
        sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
