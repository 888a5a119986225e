"""What a run logged: SpeechBrain's `train_log.txt`, a line for each epoch."""

from __future__ import annotations

import re
from pathlib import Path

LOG = "train_log.txt"


def epochs(run: str | Path) -> list[dict[str, float]]:
    """Name -> figure of every epoch that the log of the run's folder holds, `epoch`, `train loss` and so on."""
    lines = (Path(run) / LOG).read_text(encoding="utf-8").splitlines()
    found = {}
    # A kill between the log and the checkpoint of an epoch writes its line twice.
    for line in filter(None, lines):
        figures = re.findall(r"(\w[\w. ]*): ([-+.\de]+|nan|inf)(?=,| - |$)", line)
        values = {name: float(value) for name, value in figures}
        found[values["epoch"]] = values
    return list(found.values())


def last_epoch(run: str | Path) -> dict[str, float]:
    """Name -> figure of the last epoch."""
    return epochs(run)[-1]
