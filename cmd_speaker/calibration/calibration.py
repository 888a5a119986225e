"""Calibration: from a score to the log-likelihood ratio of same against different speakers.

A score only ranks trials. A log-likelihood ratio (LLR, natural logarithm) says how much more likely the score
is for one speaker than for two, so that a decision follows from what is known beforehand and from what
errors cost: accept where LLR >= log(c_fa (1 - p) / (c_miss p)).

LLR = slope * score + offset + what quality measures add (`cmd_speaker.calibration.qualities`), fitted by
prior-weighted logistic regression (`cmd_speaker.calibration.logistic`). A calibration holds for the model and
the back-end whose scores it was fitted on, and for recordings like those of the list; all of that is kept
with it and compared whenever it is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from cmd_speaker.calibration.logistic import fit_logistic
from cmd_speaker.calibration.qualities import Quality, Sides
from cmd_speaker.errors import DataError, UsageError
from cmd_speaker.evaluation.operating_point import LEAST, OperatingPoint

DEFAULT_PRIOR = 0.01
ENOUGH = 10
"""Trials of the rarer class for each weight; with fewer the weights are a matter of chance."""


@dataclass(frozen=True)
class Origin:
    """What a calibration was fitted on.

    `scores` and `trials` are files (`name`, `sha256`), `backend` the description of the back-end and `model`
    the checksum of the model that made the embeddings; None where it is not known.
    """

    scores: Mapping[str, str]
    trials: Mapping[str, str] | None = None
    targets: int = 0
    nontargets: int = 0
    speakers: int | None = None
    backend: Mapping[str, Any] | None = None
    model: str | None = None


@dataclass(frozen=True)
class Calibration:
    """LLR = slope * score + offset + qualities, fitted for decisions at the `prior`.

    `separable` tells that the scores, with the quality measures if there are any, keep the classes apart (but for
    an overlap too small to learn from), so that the slope follows from the number of trials only. `path` is
    the file that it was read from.
    """

    slope: float
    offset: float
    prior: float
    origin: Origin
    qualities: tuple[Quality, ...] = ()
    separable: bool = False
    path: Path | None = field(default=None, compare=False)

    @property
    def columns(self) -> list[str]:
        """The quality measures that it needs."""
        return [quality.column for quality in self.qualities]

    def llr(self, scores: np.ndarray, qualities: Mapping[str, Sides] | None = None) -> np.ndarray:
        """The log-likelihood ratios of n trials: float64 [n].

        `qualities` has the values of every measure in `columns` on both sides of the trials. Raises
        `UsageError` where one is lacking, and `DataError` for values that are not finite numbers.
        """
        llr = self.slope * np.asarray(scores, np.float64) + self.offset
        for quality in self.qualities:
            llr += quality.llr(self._sides(quality.column, qualities or {}))
        return llr

    def outside(self, qualities: Mapping[str, Sides]) -> dict[str, int]:
        """Measure -> how many trials lie beyond the range of the fitting list, where there are any."""
        counts = {q.column: q.outside(self._sides(q.column, qualities)) for q in self.qualities}
        return {column: count for column, count in counts.items() if count}

    def threshold(self, point: OperatingPoint) -> float:
        """The LLR from which accepting costs least at `point`; `point` need not be what it was fitted for."""
        return point.threshold

    def score_threshold(self, point: OperatingPoint) -> float | None:
        """The same as a score; None with quality measures, where every trial has one of its own."""
        return None if self.qualities else (point.threshold - self.offset) / self.slope

    @property
    def doubts(self) -> list[str]:
        """What a reader must know of the list that it was fitted on."""
        origin, weights, found = self.origin, 2 + 2 * len(self.qualities), []
        if self.separable:
            what = "scores and quality measures" if self.qualities else "scores"
            found.append(
                f"the {what} keep targets and nontargets apart: the calibration's slope follows from the number "
                "of trials only (Laplace's rule); fit it on a longer or harder list"
            )
        if min(origin.targets, origin.nontargets) < ENOUGH * weights:
            found.append(
                f"the calibration has {weights} weights from {origin.targets} targets and {origin.nontargets} "
                f"nontargets: under {ENOUGH} trials of each class a weight they are a matter of chance"
            )
        return found

    def __str__(self) -> str:
        origin = self.origin
        return (
            f"for prior {self.prior:g}, fitted on {origin.scores['name']} (SHA-256 {origin.scores['sha256']}), "
            f"{origin.targets:,} targets, {origin.nontargets:,} nontargets"
        )

    def in_words(self) -> str:
        """The formula, for people."""
        lines = [f"LLR = {self.slope:.6g} * score {self.offset:+.6g}"]
        for q in self.qualities:
            what = f"log {q.column}" if q.is_logarithmic else q.column
            lines.append(
                f"      {q.lower_weight:+.6g} * lower {what} {q.higher_weight:+.6g} * higher {what}"
                f"  (both less {q.mean:.6g}, divided by {q.scale:.6g})"
            )
        return "\n".join(lines)

    def check(
        self, record: Mapping[str, Any] | None, what: str | Path, sha256: str | None = None
    ) -> list[str]:
        """Whether it may be used on the scores `what` whose `record` this is; returns warnings.

        `record` has `backend`, `calibration`, `embeddings` and `trials` as beside a score file, or is None;
        `sha256` is the checksum of the score file. Raises `DataError` for LLRs, and for scores of another
        back-end or model.
        """
        warnings = self.doubts
        if self._is_own(sha256, (record or {}).get("trials")):
            warnings.append(
                f"{what} is the very list that the calibration was fitted on: "
                "what it brings there says nothing about other recordings"
            )
        if record is None:
            return [*warnings, f"{what} has no record: model and back-end may differ from the calibration's"]
        refuse_calibrated(record, what)
        model = (record.get("embeddings") or {}).get("model")
        ours, theirs = (
            comparable(each, self.columns) for each in (self.origin.backend, record.get("backend"))
        )
        for name, expected, found in (("back-end", ours, theirs), ("model", self.origin.model, model)):
            if expected is None or found is None:
                where = "the calibration" if expected is None else str(what)
                warnings.append(f"the {name} of {where} is not known: it may not be the right one")
            elif expected != found:
                raise DataError(
                    f"the calibration {self.path or ''} belongs to another {name}".replace("  ", " "),
                    file=what,
                    expected=_shown(expected, found),
                    found=_shown(found, expected),
                    fix="Fit one on scores of the same model and back-end, or score again as it was done there",
                )
        return warnings

    def _is_own(self, scores: str | None, trials: Mapping[str, Any] | None) -> bool:
        """Whether scores with this checksum, or of these `trials`, are those of the fit."""
        if scores is not None and scores == self.origin.scores["sha256"]:
            return True
        return bool(trials and self.origin.trials and trials["sha256"] == self.origin.trials["sha256"])

    def _sides(self, column: str, qualities: Mapping[str, Sides]) -> Sides:
        if column not in qualities:
            raise UsageError(
                f"the calibration {self.path or ''} needs the quality measure '{column}': "
                f"give a table with that column with --metadata"
            )
        return qualities[column]


def fit_calibration(
    scores: np.ndarray,
    labels: np.ndarray,
    origin: Origin,
    *,
    prior: float = DEFAULT_PRIOR,
    qualities: Mapping[str, Sides] | None = None,
) -> Calibration:
    """Fit to the scores [n] of trials that are targets where `labels`, bool [n]; see `fit_logistic`.

    `origin` says where the scores come from; the counts in it are filled in. Raises `UsageError` for a prior
    outside (0, 1), and `DataError` as `fit_logistic` does and where higher scores mean different speakers.
    """
    if not LEAST < prior < 1 - LEAST:
        raise UsageError(f"the prior of a calibration lies between 0 and 1, found {prior}")
    qualities = qualities or {}
    measures = [Quality.of(column, sides) for column, sides in qualities.items()]
    names = ["score", *(f"{side} {column}" for column in qualities for side in ("lower", "higher"))]
    features = np.column_stack(
        [np.asarray(scores, np.float64), *(m.features(qualities[m.column]) for m in measures)]
    )
    fit = fit_logistic(features, labels, prior, names)
    if not fit.weights[0] > 0:
        raise DataError(
            "higher scores mean different speakers",
            expected="scores that are higher for the same speaker",
            found=f"a slope of {fit.weights[0]:.6g}",
            fix="Check that labels and scores belong together, or change the sign of a distance",
        )
    targets = int(np.count_nonzero(labels))
    return Calibration(
        float(fit.weights[0]),
        fit.offset,
        prior,
        replace(origin, targets=targets, nontargets=len(labels) - targets),
        tuple(
            replace(measure, lower_weight=float(low), higher_weight=float(high))
            for measure, (low, high) in zip(measures, fit.weights[1:].reshape(-1, 2), strict=True)
        ),
        fit.separable,
    )


def refuse_calibrated(record: Mapping[str, Any], what: str | Path) -> None:
    """Raise `DataError` where the record says that the scores are LLRs already."""
    if record.get("calibration"):
        raise DataError(
            "the scores are calibrated already", file=what, expected="scores of the back-end",
            found="log-likelihood ratios", fix="Use the scores before calibration",
        )  # fmt: skip


def comparable(backend: Mapping[str, Any] | None, columns: Sequence[str]) -> dict[str, Any] | None:
    """Of a back-end's description, what scores and the quality measures `columns` depend on.

    Checksums tell files apart, not names. The cohort's `top` entries are for AS-norm and for `cohort_mean`.
    """
    if backend is None:
        return None
    found = {
        key: {k: v for k, v in value.items() if k != "name"} if isinstance(value, Mapping) else value
        for key, value in backend.items()
    }
    if "cohort_mean" not in columns:
        if found.get("norm") != "as":
            found["top"] = None
        if found.get("norm") == "none":
            found["cohort"] = None
    return found


def _shown(mine: Any, other: Any) -> str:
    """What of `mine` is not in `other`, for an error."""
    if not isinstance(mine, Mapping):
        return f"{str(mine)[:12]}..."
    keys: Sequence[str] = [key for key in mine if mine[key] != other.get(key)]
    return ", ".join(f"{key} {mine[key]}" for key in keys) or "nothing more"
