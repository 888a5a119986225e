"""How often 95 % intervals over speakers hold the true value, by simulation.

    python benchmarks/coverage.py [--sets N] [--replicates N] [--seed N] [--designs NAME ...]

Test sets are those of `simulated_speakers.py`. An interval covers where it holds the true value, that of a
difference where it holds zero.

Printed, in Markdown: coverage in percent with its Monte Carlo error of one standard deviation, and in brackets the
mean width of the interval as a multiple of the percentile interval's. `adopted` is what `cmd_speaker` reports, SE
the standard deviation of the draws; `over trials` draws trials instead of speakers, the two classes apart.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student
from simulated_speakers import (  # beside this file
    ASKED,
    FIGURES,
    Design,
    separation_for,
    simulate,
    true_eer,
    true_figures,
)

from cmd_speaker.evaluation.bootstrap import draws, figure_intervals, replicate
from cmd_speaker.evaluation.intervals import difference_interval
from cmd_speaker.evaluation.metrics import Curve, SortedScores

TRIAL_REPLICATES = 300
DESIGNS = (
    Design("10 speakers, 20 + 60 trials each, EER 5 %", 0.0487, 10, 10, 20, 60, 300),
    Design("30 speakers, 20 + 20 trials each, EER 5 %", 0.0487, 30, 10, 20, 20, 300),
    Design("30 speakers, 20 + 60 trials each, EER 1.5 %", 0.0153, 30, 10, 20, 60, 300),
    Design("30 speakers, all pairs of 5 utterances, EER 5 %", 0.0487, 30, 5, None, None, 300),
    Design("100 speakers, 20 + 20 trials each, EER 5 %", 0.0487, 100, 10, 20, 20, 300),
    Design("100 speakers, 20 + 60 trials each, EER 1.5 %", 0.0153, 100, 10, 20, 60, 200),
    Design("100 speakers, all pairs of 3 utterances, EER 5 %", 0.0487, 100, 3, None, None, 150),
    Design("1,000 speakers, 20 + 20 trials each, EER 5 %", 0.0487, 1000, 10, 20, 20, 100),
    Design("40 speakers, 470 + 470 trials each, as VoxCeleb1-O, EER 1.5 %", 0.0153, 40, 118, 470, 470, 150),
    Design("100 speakers, 200 + 200 trials each, EER 1.5 %", 0.0153, 100, 60, 200, 200, 150),
    Design("10 speakers, all pairs of 20 utterances, EER 0.8 %", 0.0079, 10, 20, None, None, 100),
    Design("30 speakers, 20 + 60 trials each, EER 0.3 %", 0.0031, 30, 10, 20, 60, 150),
    Design("100 speakers, 20 + 60 trials each, EER 0.1 %", 0.0013, 100, 10, 20, 60, 60),
    Design("10 speakers, 20 + 60 trials each, EER 0.1 %", 0.0013, 10, 10, 20, 60, 200),
)
"""No true EER is a whole number of errors: an interval that ends at such a number would cover it by chance."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Coverage of intervals over speakers, by simulation.")
    parser.add_argument("--sets", type=int, help="simulated test sets of every design")
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--designs", nargs="+", type=int, default=range(len(DESIGNS)), help="their numbers")
    options = parser.parse_args()
    for number in options.designs:
        design = DESIGNS[number]
        rng = np.random.default_rng([options.seed, number])
        start = time.perf_counter()
        sets = options.sets or design.sets
        tallies = [study(design, rng, options.replicates) for _ in range(sets)]
        print(f"\n**{design.name}** ({sets} sets, {time.perf_counter() - start:.0f} s)\n")
        print(table(tallies), flush=True)


Tally = dict[tuple[str, str], tuple[bool, float]]


def study(design: Design, rng: np.random.Generator, replicates: int) -> Tally:
    """For one simulated set: (figure, method) -> whether its interval covers, and its width."""
    separation = separation_for(design.eer)
    enrol, test = design.trials(rng)
    speakers = enrol // design.utterances, test // design.utterances
    labels = speakers[0] == speakers[1]
    systems = [
        SortedScores(scores, labels) for scores in simulate(design, rng, enrol, test, labels, separation)
    ]
    seed = int(rng.integers(2**31))
    drawn = replicate(systems, speakers, draws(design.speakers, seed, replicates), ASKED)
    whole = np.ones(design.speakers, dtype=np.int64)
    left_out = replicate(systems, speakers, whole - np.eye(design.speakers, dtype=np.int64), ASKED)
    measured = replicate(systems, speakers, [whole], ASKED)[0]
    tally: Tally = {}
    adopted = figure_intervals(systems[0].curve(), drawn[:, 0], design.speakers, ASKED)
    for k, (figure, truth) in enumerate(zip(FIGURES, true_figures(separation), strict=True)):
        sample = Sample(measured[0, k], drawn[:, 0, k], left_out[:, 0, k])
        tally[figure, ADOPTED] = judge((adopted[k].low, adopted[k].high), truth)
        tally |= {(figure, name): judge(method(sample), truth) for name, method in METHODS.items()}
        sample = Sample(*(part[..., 1, k] - part[..., 0, k] for part in (measured, drawn, left_out)))
        difference = f"{figure}, difference"
        tally[difference, ADOPTED] = judge(expanded_percentile(sample), 0)
        tally |= {(difference, name): judge(METHODS[name](sample), 0) for name in DIFFERENCE_METHODS}
    drawn_trials = np.percentile(trial_replicates(systems[0], rng), [2.5, 97.5])
    tally["EER", OVER_TRIALS] = judge(tuple(drawn_trials), true_eer(separation))
    return tally


@dataclass(frozen=True)
class Sample:
    """One figure of one set: measured, in every replicate [R], and without each speaker [S]."""

    measured: float
    drawn: np.ndarray
    left_out: np.ndarray

    @property
    def quantile(self) -> float:
        """Of Student's t."""
        return float(student.ppf(0.975, len(self.left_out) - 1))


Bounds = tuple[float, float]


def judge(bounds: Bounds, truth: float) -> tuple[bool, float]:
    """Whether an interval covers, and its width."""
    low, high = bounds
    return bool(low <= truth <= high), float(high - low)


def percentile(sample: Sample) -> Bounds:
    return tuple(np.percentile(sample.drawn, [2.5, 97.5]))


def expanded_percentile(sample: Sample) -> Bounds:
    interval = difference_interval(sample.drawn, len(sample.left_out))
    return interval.low, interval.high


def bias_corrected(sample: Sample, acceleration: float = 0) -> Bounds:
    below = np.mean(sample.drawn < sample.measured) + np.mean(sample.drawn == sample.measured) / 2
    bias = norm.ppf(np.clip(below, 0.001, 0.999))
    shift = bias + norm.ppf([0.025, 0.975])
    return tuple(np.quantile(sample.drawn, norm.cdf(bias + shift / (1 - acceleration * shift))))


def accelerated(sample: Sample) -> Bounds:
    away = sample.left_out.mean() - sample.left_out
    spread = (away**2).sum() ** 1.5
    return bias_corrected(sample, float((away**3).sum() / (6 * spread)) if spread else 0.0)


def bootstrap_t(sample: Sample) -> Bounds:
    half = sample.quantile * sample.drawn.std()
    return sample.measured - half, sample.measured + half


def jackknife_t(sample: Sample) -> Bounds:
    half = sample.quantile * ((len(sample.left_out) - 1) * sample.left_out.var()) ** 0.5
    return sample.measured - half, sample.measured + half


def log_t(sample: Sample) -> Bounds:
    factor = np.exp(sample.quantile * np.log(np.maximum(sample.drawn, 1e-4)).std())
    return sample.measured / factor, sample.measured * factor


METHODS: dict[str, Callable[[Sample], Bounds]] = {
    "percentile": percentile, "expanded percentile": expanded_percentile, "BC": bias_corrected,
    "BCa": accelerated, "SE, t": bootstrap_t, "jackknife SE, t": jackknife_t, "log, SE, t": log_t,
}  # fmt: skip
DIFFERENCE_METHODS = [name for name in METHODS if not name.startswith("log")]
ADOPTED, OVER_TRIALS = "adopted", "over trials"


def trial_replicates(scores: SortedScores, rng: np.random.Generator) -> np.ndarray:
    """EER of sets of trials drawn with replacement, targets and nontargets apart."""
    values = []
    for _ in range(TRIAL_REPLICATES):
        sides = [
            np.bincount(rng.integers(len(side), size=len(side)), minlength=len(side))
            for side in (scores.targets, scores.nontargets)
        ]
        values.append(Curve(scores, *(np.append(0, np.cumsum(side)) for side in sides)).eer()[0])
    return np.array(values)


def table(tallies: list[Tally]) -> str:
    """A row for every figure, a column for every method."""
    methods = [ADOPTED, *METHODS, OVER_TRIALS]
    lines = [f"| figure | {' | '.join(methods)} |", "|---" * (len(methods) + 1) + "|"]
    for figure in dict.fromkeys(figure for figure, _ in tallies[0]):
        usual = np.mean([tally[figure, "percentile"][1] for tally in tallies])
        cells = []
        for method in methods:
            found = [tally[figure, method] for tally in tallies if (figure, method) in tally]
            if not found:
                cells.append("")
                continue
            covered, width = np.mean(found, axis=0)
            error = (covered * (1 - covered) / len(found)) ** 0.5
            cells.append(f"{100 * covered:.1f} ± {100 * error:.1f} (×{width / usual:.2f})")
        lines.append(f"| {figure} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
