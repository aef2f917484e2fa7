"""Fuzzing by coverage (atheris): every reader for so many seconds, one after the other; `make fuzz` runs it.

    python tests/faults/fuzz_readers.py --seconds 30 --keep .fuzz [READER ...]

What was found interesting is kept as a corpus and is where the next run begins. An input that breaks a reader is left
as `crash-...` in the reader's folder: give it to `readers.read`, and it becomes a line of `test_found.py`.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
MOST_BYTES, MOST_SECONDS, MOST_MB = 4096, 20, 4000  # of an input; of one reading; of memory


def fuzz(name: str, arguments: list[str]) -> None:
    """In this process, to its end; libFuzzer ends it."""
    import atheris

    with atheris.instrument_imports(include=["thresher", "yaml", "csv", "json"]):
        import readers
    import logging
    import shutil

    logging.disable(logging.CRITICAL)
    folder = Path(tempfile.mkdtemp(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))

    def once(content: bytes) -> None:
        folder.mkdir(exist_ok=True)
        try:
            readers.read(name, content, folder)
        finally:
            shutil.rmtree(folder)

    atheris.Setup([sys.argv[0], *arguments], once)
    atheris.Fuzz()


def run(name: str, seconds: int, keep: Path) -> tuple[int, int, int, int]:
    """(exit code, executions, edges covered, inputs kept) of one reader, in a process of its own."""
    from seeds import SEEDS

    corpus, begin = keep / name / "corpus", keep / name / "seeds"
    for folder in (corpus, begin):
        folder.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(SEEDS[name]):
        (begin / str(number)).write_bytes(content)
    line = [
        sys.executable, __file__, "--inside", name, str(corpus), str(begin), f"-max_total_time={seconds}",
        f"-max_len={MOST_BYTES}", f"-timeout={MOST_SECONDS}", f"-rss_limit_mb={MOST_MB}", "-print_final_stats=1",
        f"-artifact_prefix={keep / name}/",
    ]  # fmt: skip
    done = subprocess.run(line, capture_output=True, text=True, errors="replace", check=False)
    (keep / name / "log").write_text(done.stdout + done.stderr)
    ran = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    seen = re.findall(r"^#(\d+).*\bcov: (\d+)", done.stderr, re.MULTILINE)
    executed = int(ran[1]) if ran else int(seen[-1][0]) if seen else 0
    if done.returncode:
        print(f"{name}: see {keep / name / 'log'}\n" + done.stderr[-3000:], file=sys.stderr)
    return done.returncode, executed, int(seen[-1][1]) if seen else 0, len(list(corpus.iterdir()))


def main() -> int:
    from seeds import SEEDS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("readers", nargs="*", help=f"of {', '.join(SEEDS)} [all]")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--keep", type=Path, default=Path(".fuzz"))
    asked = parser.parse_args()
    if unknown := set(asked.readers) - set(SEEDS):
        parser.error(f"there is no reader {', '.join(unknown)}; there are {', '.join(SEEDS)}")
    broken = 0
    print(f"{'reader':16} {'executions':>10} {'edges':>6} {'inputs kept':>11}")
    for name in asked.readers or SEEDS:
        code, executed, edges, kept = run(name, asked.seconds, asked.keep.absolute())
        said = "" if code == 0 else f"  BROKEN ({code})"
        print(f"{name:16} {executed:>10,} {edges:>6,} {kept:>11,}{said}", flush=True)
        broken += code != 0
    return 1 if broken else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        fuzz(sys.argv[2], sys.argv[3:])
    else:
        sys.exit(main())
