"""The figures of one system on one trial list, for people and for machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from cmd_speaker.evaluation.bootstrap import Interval, speaker_interval
from cmd_speaker.evaluation.llr import curve_cllr, curve_min_cllr
from cmd_speaker.evaluation.metrics import POINTS, OperatingPoint, SortedScores
from cmd_speaker.lists.scores import Scores
from cmd_speaker.lists.speakers import trial_speakers

FARS = (0.001, 0.01)
"""False acceptance rates at which the miss rate is reported unless others are asked for."""
FEW_SPEAKERS, FEW_FOR_CLLR = 100, 1000
"""Below these numbers the intervals of EER and of Cllr are known to cover less than 95 % in some lists."""
RARE = 1.0
"""Where EER times speakers is less, nobody who is hard to recognise may be on the list."""
USELESS_DRAWS = 0.01
"""The share of draws without a class from which on intervals are said to be too narrow."""


@dataclass(frozen=True)
class Cost:
    """The normalised detection cost at one operating point: at the best threshold, and as decided.

    `act_dcf` is what decisions at the Bayes threshold cost; None unless the scores are log-likelihood ratios.
    """

    point: OperatingPoint
    min_dcf: float
    min_dcf_interval: Interval | None = None
    act_dcf: float | None = None
    act_dcf_interval: Interval | None = None


@dataclass(frozen=True)
class Summary:
    """Error rates and normalised costs, all as fractions, Cllr in bits; intervals are 95 % over speakers, or None.

    `costs` are those of the points asked for. `miss_at_far` gives, for a false acceptance rate, the miss rate
    at the lowest threshold that keeps it. `cllr` is None unless the scores are log-likelihood ratios.
    """

    targets: int
    nontargets: int
    eer: float
    eer_threshold: float
    min_dcf_001: float
    """P_target 0.01, unit costs."""
    min_dcf_005: float
    """P_target 0.05, unit costs."""
    min_cllr: float
    speakers: int | None = None
    eer_low: float | None = None
    eer_high: float | None = None
    costs: tuple[Cost, ...] = ()
    cllr: float | None = None
    cllr_interval: Interval | None = None
    min_cllr_interval: Interval | None = None
    miss_at_far: dict[float, float] = field(default_factory=dict)
    miss_intervals: dict[float, Interval] = field(default_factory=dict)
    useless_draws: float = 0.0
    """The share of draws of speakers that had no targets or no nontargets."""

    def as_dict(self) -> dict[str, float | int | None]:
        """Flat, for JSON: `min_dcf_001`, its bounds `min_dcf_001_low` and `_high`, `act_dcf_001`,
        `miss_at_far_0.01`.
        """
        values: dict[str, float | int | None] = {
            "targets": self.targets, "nontargets": self.nontargets, "speakers": self.speakers,
            "eer": self.eer, "eer_low": self.eer_low, "eer_high": self.eer_high,
            "eer_threshold": self.eer_threshold, "min_dcf_001": self.min_dcf_001, "min_dcf_005": self.min_dcf_005,
        }  # fmt: skip
        for cost in self.costs:
            values |= _bounded(f"min_dcf_{cost.point.key}", cost.min_dcf, cost.min_dcf_interval)
            values |= _bounded(f"act_dcf_{cost.point.key}", cost.act_dcf, cost.act_dcf_interval)
        values |= _bounded("cllr", self.cllr, self.cllr_interval)
        values |= _bounded("min_cllr", self.min_cllr, self.min_cllr_interval)
        for far, miss in self.miss_at_far.items():
            values |= _bounded(f"miss_at_far_{far:g}", miss, self.miss_intervals.get(far))
        return values

    @property
    def warning(self) -> str | None:
        """What a reader of the intervals must know."""
        if self.speakers is None:
            return None
        found = []
        has_cllr = self.cllr_interval is not None
        bits = "min Cllr, Cllr" if has_cllr else "min Cllr"
        if self.eer * self.speakers < RARE:
            found.append(
                f"too few errors for {self.speakers} speakers to show who is hard to recognise: in simulations "
                "the 95 % intervals of EER and min Cllr then covered 85 to 100 %"
                + (", that of Cllr 53 to 87 %" if has_cllr else "")
            )
        elif self.speakers < FEW_FOR_CLLR:
            covers = f"interval of {bits} covers 85 to 90 %"
            if self.speakers < FEW_SPEAKERS:
                covers = f"interval of EER covers about 90 %, those of miss rates, {bits} 80 to 90 %"
            found.append(
                f"only {self.speakers} speakers: where a few of them make most errors, the 95 % {covers}"
            )
        if self.useless_draws > USELESS_DRAWS:
            found.append(
                f"{self.useless_draws:.0%} of the draws of speakers lacked targets or nontargets and were left "
                "out: intervals are too narrow"
            )
        return "; ".join(found) or None

    def __str__(self) -> str:
        eer = f"EER {self.eer:6.2%}"
        if self.eer_low is not None and self.eer_high is not None:
            eer += f" [{self.eer_low:.2%}, {self.eer_high:.2%}]"
        costs = "".join(f"  {_cost_text(cost)}" for cost in self.costs)
        llr = "" if self.cllr is None else f"  Cllr {self.cllr:.3f} (min {self.min_cllr:.3f})"
        return f"{eer}{costs}{llr}  ({self.targets:,} targets, {self.nontargets:,} nontargets)"


def summarise(
    scores: Scores,
    utt2spk: Mapping[str, str] | None = None,
    *,
    seed: int = 0,
    replicates: int = 1000,
    llr: np.ndarray | None = None,
    points: Sequence[OperatingPoint] = POINTS,
    fars: Sequence[float] = FARS,
) -> Summary:
    """The figures of labelled scores, with intervals where `utt2spk` (utterance -> speaker) is given.

    Where there are `llr` [n], the log-likelihood ratios made of the scores, all figures are theirs: with quality
    measures they rank the trials otherwise than the scores do, and they are what decisions follow from.
    Raises `DataError` without labels or without one of the classes, and as `trial_speakers` does.
    """
    ordered = SortedScores(scores.scores if llr is None else llr, scores.known_labels())
    summary = measure(ordered, llr=llr is not None, points=points, fars=fars)
    if utt2spk is None or not replicates:
        return summary
    enrol, test, names = trial_speakers(scores.trials, utt2spk)
    found = speaker_interval(ordered, enrol, test, seed, replicates, points, llr is not None, fars)
    costs = (
        replace(
            cost, min_dcf_interval=found.min_dcf[cost.point], act_dcf_interval=found.act_dcf.get(cost.point)
        )
        for cost in summary.costs
    )
    return replace(
        summary, speakers=len(names), eer_low=found.eer.low, eer_high=found.eer.high, costs=tuple(costs),
        cllr_interval=found.cllr, min_cllr_interval=found.min_cllr, miss_intervals=found.miss_at_far,
        useless_draws=found.left_out / found.replicates,
    )  # fmt: skip


def measure(
    ordered: SortedScores,
    *,
    llr: bool = False,
    points: Sequence[OperatingPoint] = POINTS,
    fars: Sequence[float] = FARS,
) -> Summary:
    """The figures without intervals; with `SortedScores.from_blocks`, of lists of any length.

    `llr` says that the scores are log-likelihood ratios. Raises `DataError` where one of them is infinite,
    and `UsageError` for a false acceptance rate outside (0, 1).
    """
    curve = ordered.curve()
    every = list(dict.fromkeys([*POINTS, *points]))
    min_dcf = dict(zip(every, curve.min_dcfs(every), strict=True))
    eer, threshold = curve.eer()
    return Summary(
        targets=len(ordered.targets),
        nontargets=len(ordered.nontargets),
        eer=eer,
        eer_threshold=threshold,
        min_dcf_001=min_dcf[POINTS[0]],
        min_dcf_005=min_dcf[POINTS[1]],
        costs=tuple(
            Cost(point, min_dcf[point], act_dcf=curve.act_dcf(point) if llr else None) for point in points
        ),
        cllr=curve_cllr(curve) if llr else None,
        min_cllr=curve_min_cllr(curve),
        miss_at_far={far: curve.miss_rate(far) for far in fars},
    )


def _bounded(name: str, value: float | None, interval: Interval | None) -> dict[str, float | None]:
    low, high = (interval.low, interval.high) if interval else (None, None)
    return {name: value, f"{name}_low": low, f"{name}_high": high}


def _cost_text(cost: Cost) -> str:
    text = f"minDCF({cost.point}) {cost.min_dcf:.3f}"
    if cost.min_dcf_interval:
        text += f" [{cost.min_dcf_interval.low:.3f}, {cost.min_dcf_interval.high:.3f}]"
    return text if cost.act_dcf is None else f"{text}  actDCF {cost.act_dcf:.3f}"
