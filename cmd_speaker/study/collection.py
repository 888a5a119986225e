"""What a study's finished runs found: curves, validation EER and scores, read from their folders."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from cmd_speaker.errors import DataError
from cmd_speaker.lists.scores import Scores, load_scores
from cmd_speaker.scoring.record import load_record
from cmd_speaker.study.plan import Run
from cmd_speaker.study.runner import Records
from cmd_speaker.training.log import LOG, epochs

VALIDATION = "valid eer"
"""The name under which the log has the validation EER."""


@dataclass(frozen=True)
class Result:
    """One finished run, read when asked; `record` is the study's record of it.

    Properties raise `DataError` where its folder does not hold what a recipe leaves there.
    """

    run: Run
    folder: Path
    record: Mapping[str, Any]

    @cached_property
    def epochs(self) -> list[dict[str, float]]:
        """The figures of every epoch."""
        return epochs(self._only(LOG).parent)

    @property
    def validation_eer(self) -> float | None:
        """Of the last epoch, a fraction; None where there are no validation speakers."""
        return self.epochs[-1].get(VALIDATION)

    @cached_property
    def student(self) -> Path:
        """The folder of the one student that the run trained: its scores, model and embeddings."""
        return self._only("scores.txt").parent

    @cached_property
    def scores(self) -> Scores:
        """Of the test list; a score file that has changed since it was written is refused."""
        path = self.student / "scores.txt"
        load_record(path)
        return load_scores(path)

    @cached_property
    def data_folder(self) -> Path:
        """What `$data_root` stands for."""
        text = (self.student / "hyperparams.yaml").read_text(encoding="utf-8")
        root = yaml.compose(text)
        assert isinstance(root, yaml.MappingNode)
        return Path(next(value.value for key, value in root.value if key.value == "data_folder"))

    def listed(self, name: str) -> Path:
        """A manifest or list of the run, which it has of its own or which lies in its corpus."""
        places = [self.folder / "manifests" / name, self.data_folder / "manifests" / name]
        for place in places:
            if place.is_file():
                return place
        raise DataError(f"the run has no {name}", file=places[0], fix="Do this run again")

    def checksums(self) -> dict[str, str]:
        """SHA-256 of the manifests and lists that it used, as its own record has them."""
        return dict(self._own_record.get("checksums", {}))

    def provenance(self) -> dict[str, Any]:
        """Commit and versions."""
        record = self._own_record
        return {name: record.get(name) for name in ("commit", "versions", "machine")}

    @cached_property
    def _own_record(self) -> dict[str, Any]:
        record: dict[str, Any] = json.loads((self._only(LOG).parent / "run.json").read_text(encoding="utf-8"))
        return record

    def _only(self, name: str) -> Path:
        found = sorted(self.folder.rglob(name))
        if len(found) != 1:
            raise DataError(
                f"the run left {len(found)} files {name}", file=self.folder, expected="one, of one student",
                found=", ".join(str(path.relative_to(self.folder)) for path in found) or "none",
                fix="Let the study's recipe train one student",
            )  # fmt: skip
        return found[0]


def finished(records: Records, runs: Iterable[Run]) -> list[Result]:
    """The results of those of the runs that are finished, in their order."""
    found = []
    for run in runs:
        record = records.read(run)
        if record is not None and record["state"] == "finished":
            found.append(Result(run, records.folder(run), record))
    return found


def grouped(results: Sequence[Result], condition: str) -> dict[str, list[Result]]:
    """Configuration -> results of its seeds, in one condition."""
    found: dict[str, list[Result]] = {}
    for result in results:
        if result.run.condition == condition:
            found.setdefault(result.run.configuration.name, []).append(result)
    return found


def mean_validation(results: Sequence[Result]) -> float | None:
    """The validation EER, averaged over the runs of one configuration; None where one was not validated."""
    rates = [rate for result in results if (rate := result.validation_eer) is not None]
    return sum(rates) / len(rates) if rates and len(rates) == len(results) else None


def by_validation(results: Sequence[Result]) -> float:
    """The same, to put configurations in order; raises `DataError` where one was not validated."""
    rate = mean_validation(results)
    if rate is None:
        raise DataError(
            "the run was not validated", file=results[0].folder, expected=f"'{VALIDATION}' in its last epoch",
            found=", ".join(results[0].epochs[-1]), fix="Hold validation speakers out",
        )  # fmt: skip
    return rate
