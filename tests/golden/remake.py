"""`python -m tests.golden.remake [CASE...]`: run the cases and keep what they give; say what changed."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import torch

from tests.conftest import REAL_SCENES
from tests.golden.cases import CASES, machine, summary_of

KEPT = Path(__file__).with_name("golden.json")


def main() -> None:
    torch.set_num_threads(1)
    kept = json.loads(KEPT.read_text(encoding="utf-8"))["cases"] if KEPT.exists() else {}
    for name in sys.argv[1:] or CASES:
        start = time.monotonic()
        found = summary_of(name, REAL_SCENES.resolve())
        changed = [key for key in found if kept.get(name, {}).get(key) != found[key]]
        print(
            f"{name}: {', '.join(changed) if changed else 'as before'} ({time.monotonic() - start:.1f} s)",
            flush=True,
        )
        kept[name] = found
    KEPT.write_text(json.dumps({"machine": machine(), "cases": kept}, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
