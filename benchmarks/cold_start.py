"""How long `thresher --help` and `thresher methods` take, and what they import.

Bars: under 0.4 s each, and no torch. Medians of five; a Python that imports nothing is timed in the same run.

    python benchmarks/cold_start.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

BAR_SECONDS = 0.4
HEAVY = ("torch", "transformers", "peft", "datasets", "plotly", "scipy")


def seconds(arguments: list[str], times: int = 5) -> float:
    found = []
    for _ in range(times):
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        found.append(time.perf_counter() - start)
    return statistics.median(found)


def imported(arguments: list[str]) -> list[str]:
    code = (
        "import sys\nfrom thresher.cli import main\ntry:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True)
    return eval(done.stderr.strip().splitlines()[-1])


if __name__ == "__main__":
    bare = seconds(["-c", "pass"])
    print(f"python -c pass      {bare:.3f} s")
    for name in ("--help", "methods"):
        taken, heavy = seconds(["-m", "thresher", name]), imported([name])
        print(
            f"thresher {name:10} {taken:.3f} s  (bar {BAR_SECONDS} s; {taken / bare:.1f}x bare Python)"
            f"  heavy imports: {heavy}"
        )
