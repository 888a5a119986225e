"""What a run logged: SpeechBrain's `train_log.txt`, a line for each epoch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
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


def last_epochs_table(runs: Mapping[str, Sequence[Path]], figures: Mapping[str, str]) -> str:
    """Markdown: the last epoch of each configuration (name -> folders of its seeds), mean over the seeds.

    `figures` gives the logged names and their headings; what a configuration does not log stays empty.
    """
    lines = [f"| configuration | {' | '.join(figures.values())} |", "|---" * (1 + len(figures)) + "|"]
    for name, folders in runs.items():
        epochs = [last_epoch(folder) for folder in folders]
        cells = []
        for figure in figures:
            values = [epoch[figure] for epoch in epochs if figure in epoch]
            cells.append(f"{sum(values) / len(values):.3f}" if values else "")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)
