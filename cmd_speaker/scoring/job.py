"""One scoring job from files to files: what `cmd-speaker score` does."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from cmd_speaker.calibration.calibrating import Calibrator
from cmd_speaker.embeddings import Embeddings, load_embeddings
from cmd_speaker.errors import DataError, UsageError
from cmd_speaker.files import file_checksum, refuse_overwriting
from cmd_speaker.lists.scores import write_scores
from cmd_speaker.lists.speakers import load_utt2spk
from cmd_speaker.lists.trials import read_trials
from cmd_speaker.progress import track
from cmd_speaker.scoring.backend import FILE_NAME as BACKEND_FILE
from cmd_speaker.scoring.backend import Backend
from cmd_speaker.scoring.budget import DEFAULT_MEMORY, Budget
from cmd_speaker.scoring.enrolment import load_enrol_map
from cmd_speaker.scoring.leakage import LeakageCheck
from cmd_speaker.scoring.normalisation import DEFAULT_TOP
from cmd_speaker.scoring.record import record_path, save_record
from cmd_speaker.scoring.scorer import TrialScorer


@dataclass(frozen=True)
class ScoringJob:
    """The options of `cmd-speaker score`; `trials` is None for all pairs. See `run`."""

    embeddings: Path
    trials: Path | None
    out: Path
    mean_from: Path | None = None
    plda_from: Path | None = None
    plda_speakers: Path | None = None
    plda_rank: int | None = None
    cohort: Path | None = None
    cohort_speakers: Path | None = None
    norm: str | None = None
    top: int | None = None
    enrol_map: Path | None = None
    enrolment: str | None = None
    speakers: Path | None = None
    qualities: Path | None = None
    calibrator: Calibrator | None = None
    save_backend: Path | None = None
    memory: str = DEFAULT_MEMORY

    def __post_init__(self) -> None:
        """Raise `UsageError` for options that make no sense together."""
        needs = (
            ("--plda-from", self.plda_from, "--plda-speakers", self.plda_speakers),
            ("--plda-speakers", self.plda_speakers, "--plda-from", self.plda_from),
            ("--plda-rank", self.plda_rank, "--plda-from", self.plda_from),
            ("--cohort-speakers", self.cohort_speakers, "--cohort", self.cohort),
            ("--top", self.top, "--cohort", self.cohort),
            ("--enrol", self.enrolment, "--enrol-map", self.enrol_map),
            ("--enrol-map", self.enrol_map, "TRIALS", self.trials),
        )
        for option, value, other, needed in needs:
            if value is not None and needed is None:
                raise UsageError(f"{option} needs {other}")
        if self.cohort is not None and self.norm == "none" and self.qualities is None:
            raise UsageError("--norm none leaves nothing to do for --cohort, unless --qualities is given")
        sources = (self.mean_from, self.plda_from, self.cohort)
        if self.speakers is not None and self.trials is not None and sources == (None, None, None):
            raise UsageError(
                "--speakers labels all pairs, or checks that --mean-from, --plda-from and --cohort are of other "
                "speakers than the trials: give one of them"
            )
        if self.top is not None and self._norm != "as" and self.qualities is None:
            raise UsageError(
                f"--top belongs to --norm as or --qualities; --norm {self._norm} has the whole cohort"
            )
        self._refuse_overwriting()

    def _refuse_overwriting(self) -> None:
        read = (
            self.embeddings, self.trials, self.mean_from, self.plda_from, self.plda_speakers, self.cohort,
            self.cohort_speakers, self.enrol_map, self.speakers,
            *(self.calibrator.files if self.calibrator else ()),
        )  # fmt: skip
        kept = self.save_backend and self.save_backend / BACKEND_FILE
        refuse_overwriting((self.out, record_path(self.out), self.qualities, kept), read)

    @property
    def _norm(self) -> str:
        """A cohort without a word about the norm is for AS-norm."""
        return self.norm or ("none" if self.cohort is None else "as")

    def run(self) -> TrialScorer:
        """Score, write scores, record and quality measures; returns the scorer with its counts and errors.

        Raises `DataError` and `UsageError`; then no file is written.
        """
        began = time.perf_counter()
        budget = Budget.of(self.memory)
        embeddings = load_embeddings(self.embeddings)
        speakers = load_utt2spk(self.speakers) if self.speakers else None
        backend, leakage = self._backend(embeddings, speakers)
        scorer = TrialScorer(
            embeddings, backend, leakage=leakage, budget=budget, qualities=self.qualities is not None,
            enrolled=load_enrol_map(self.enrol_map) if self.enrol_map else None,
        )  # fmt: skip
        with ThreadPoolExecutor(1) as pool:  # checksums beside the work
            source = pool.submit(_named, self.embeddings, count=len(embeddings), model=embeddings.model)
            listed = pool.submit(_named, self.trials) if self.trials else None
            record: dict[str, Any] = {"backend": backend.description(), "calibration": None}
            if self.trials is None:
                blocks = scorer.score_all_pairs(speakers)
            else:
                blocks = scorer.score(read_trials(self.trials, budget.listed_trials()))
            if self.calibrator is not None:
                sources = {"embeddings": source.result(), "trials": listed.result() if listed else None}
                self.calibrator.check(record | sources, self.trials or self.embeddings)
                blocks = self.calibrator.apply(blocks)
            write_scores(self.out, track(blocks, "Scoring"))
            record |= {
                "embeddings": source.result(),
                "trials": listed.result() if listed else None,
                "calibration": self.calibrator and self.calibrator.describe(),
                "seconds": round(time.perf_counter() - began, 3),
            }
        save_record(self.out, record)
        if self.save_backend is not None:
            backend.save(self.save_backend)
        if self.qualities is not None:
            scorer.sides.write_qualities(self.qualities)
        return scorer

    def _backend(self, scored: Embeddings, speakers: dict[str, str] | None) -> tuple[Backend, LeakageCheck]:
        """The back-end, and what watches that it has seen nothing of the trials."""
        load = cache(load_embeddings)  # the mean and the cohort are often of one file
        mean_from = load(self.mean_from) if self.mean_from else None
        plda_from = load(self.plda_from) if self.plda_from else None
        cohort = load(self.cohort) if self.cohort else None
        plda_speakers = load_utt2spk(self.plda_speakers) if self.plda_speakers else None
        cohort_speakers = load_utt2spk(self.cohort_speakers) if self.cohort_speakers else None
        leakage = LeakageCheck(scored, speakers)
        for role, data, theirs in (
            ("data of the mean", mean_from, None),
            ("PLDA's training set", plda_from, plda_speakers),
            ("cohort", cohort, cohort_speakers),
        ):
            if data is not None:
                _check_model(scored, data)
                leakage.add(role, data, theirs)
        backend = Backend.fit(
            mean_from=mean_from,
            plda_from=plda_from,
            plda_speakers=plda_speakers,
            plda_rank=self.plda_rank,
            cohort=cohort,
            cohort_speakers=cohort_speakers,
            norm=self._norm,
            top=DEFAULT_TOP if self.top is None else self.top,
            enrolment=self.enrolment or "average",
        )
        return backend, leakage


def _check_model(scored: Embeddings, data: Embeddings) -> None:
    """Raise `DataError` where both say which model made them, and it is not the same."""
    if None not in (scored.model, data.model) and scored.model != data.model:
        raise DataError(
            "embeddings of another model", file=data.path, expected=f"{scored.model} as in {scored.path}",
            found=data.model, fix="Embed the data with the same model",
        )  # fmt: skip


def _named(path: Path, **more: Any) -> dict[str, Any]:
    """A file by its name and checksum."""
    return {"name": path.name, "sha256": file_checksum(path), **more}
