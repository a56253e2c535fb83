"""Spoil every write of every command, one at a time, and see that nothing is lost, half-written or left behind.

python benchmarks/faults.py [--only NAME …] [--every N] [--slow-every N] [--seed 0] [--folder FOLDER]

At each change to a file: kill -9 before, in the midst of and after it; ENOSPC, EROFS, EACCES and EIO, once and from
then on; EINTR and a short write; SIGTERM, SIGINT and SIGHUP. After each: every file is absent, whole-old or whole-new,
an error is one sentence and exit code 2, and the next run ends with the same files as if nothing had happened.
`--every N` tries one fault in N. Prints a table: command, writes, faults injected, survived; then what failed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "faults")]

from cases import CASES  # noqa: E402
from injector import Server, why_not  # noqa: E402
from trial import faults, trial, undisturbed  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--slow-every", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", help="where to work; memory (/dev/shm) is fastest")
    parser.add_argument("--most", type=int, default=10, help="failures that are shown of each command")
    options = parser.parse_args()
    if problem := why_not():
        sys.exit(problem)
    warnings.filterwarnings("ignore", message="Overwriting faulty")  # timm, of one name in every command's folder
    rows, failed = [("command", "writes", "injected", "survived", "s")], 0
    with Server() as server:
        for name, case in CASES.items():
            if options.only and name not in options.only:
                continue
            start = time.perf_counter()
            with tempfile.TemporaryDirectory(prefix="world-", dir=options.folder) as place:
                base = undisturbed(server, case, Path(place))
                every = options.every * (options.slow_every if case.slow else 1)
                tried = faults(base.operations, every=every, seed=options.seed)
                bad = 0
                for fault in tried:
                    if wrong := trial(server, base, fault, Path(place)):
                        bad += 1
                        if bad <= options.most:
                            operation = base.operations[fault.at - 1]
                            print(f"FAILED {name}: {fault} ({operation.name} {operation.path})", flush=True)
                            for line in wrong[:4]:
                                print(f"    {line}", flush=True)
            seconds = time.perf_counter() - start
            failed += bad
            rows.append((name, str(len(base.operations)), str(len(tried)), str(len(tried) - bad), f"{seconds:.0f}"))
            print("  ".join(rows[-1]), flush=True)
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    print()
    for row in rows:
        print(row[0].ljust(widths[0]), *(text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True)))
    total = [sum(int(row[i]) for row in rows[1:]) for i in (1, 2, 3)]
    print(f"{total[0]} writes, {total[1]} faults injected, {total[2]} survived")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
