"""The figures of the report: each a drawing, its legend and the same numbers as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite

import numpy as np

from cmd_speaker.evaluation.metrics import SortedScores
from cmd_speaker.report.curves import det_points, histogram, normal_deviates, reliability
from cmd_speaker.report.evaluation import System
from cmd_speaker.report.markup import Markup, element
from cmd_speaker.report.svg import SHAPES, Axis, Plot, linear_axis, swatch
from cmd_speaker.report.tables import NOTHING, Table, in_words, percent

STYLES = 6
"""Colours, `s1` to `s6`, and dashes, `d1` to `d6`, of the style sheet."""
RATES = (1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.98, 0.998)
"""Ticks of the DET curve."""
TABLE_FARS = (1e-5, 1e-4, 1e-3, 0.01, 0.02, 0.05, 0.1, 0.2)


@dataclass(frozen=True)
class Figure:
    """A drawing, its legend, and the `table` of what it draws."""

    title: str
    drawing: Markup
    legend: Markup
    table: Table


def style_of(number: int) -> str:
    """The classes of a system's lines: 36 pairs of a colour and a dash."""
    return f"s{number % STYLES + 1} d{(number + number // STYLES) % STYLES + 1}"


def det_figure(systems: Sequence[System], ordered: Sequence[SortedScores]) -> Figure:
    """The DET curves of all systems on normal-deviate axes, with the EER and the operating points.

    After A. Martin et al., "The DET curve in assessment of detection task performance", Eurospeech 1997.
    """
    marked = [_marked(system, scores) for system, scores in zip(systems, ordered, strict=True)]
    rates = np.array([point[2:] for points in marked for point in points], dtype=float)
    least, summary = min(system.summary.eer for system in systems), systems[0].summary
    axes = (
        _rate_axis("false acceptance rate, %", rates[:, 0], least, summary.nontargets),
        _rate_axis("miss rate, %", rates[:, 1], least, summary.targets),
    )
    plot = Plot(*axes)
    names = []
    for number, (system, scores) in enumerate(zip(systems, ordered, strict=True)):
        curve = _inside(scores, *axes)
        # A threshold without errors leaves nothing between the axes.
        names.append(system.name if len(curve[0]) else f"{system.name}: no errors, so no curve")
        plot.line(*curve, style_of(number))
    for number, points in enumerate(marked):
        for shape, filled, far, frr in points:
            left, up = (float(normal_deviates(np.array(rate))) for rate in (far, frr))
            plot.marker(left, up, shape, f"{style_of(number)} {'full' if filled else 'open'}")
    title = "DET curves" if len(systems) > 1 else "DET curve"
    said = "; ".join(f"{system.name}: EER {percent(system.summary.eer)}" for system in systems)
    return Figure(
        title,
        plot.draw(
            "det", title, f"Miss rate against false acceptance rate. {said}. The table has the values."
        ),
        _det_legend(systems, names),
        _det_table(systems, ordered),
    )


def histogram_figure(key: str, system: System, ordered: SortedScores) -> Figure:
    """How the scores of targets and of nontargets are distributed, and where the thresholds lie."""
    found = histogram(ordered)
    shares = [100 * counts / counts.sum() for counts in (found.targets, found.nontargets)]
    name = "log-likelihood ratio (natural)" if system.is_llr else "score"
    thresholds = _thresholds(system)
    places = [*found.edges, *(place for place, _, _ in thresholds)]
    plot = Plot(
        linear_axis(name, min(places), max(places)),
        linear_axis("share of the class's trials, %", 0, max(share.max() for share in shares)),
    )
    across = np.repeat(found.edges, 2)[1:-1]
    for share, style in zip(shares, ("target", "nontarget"), strict=True):
        plot.area(across, np.repeat(share, 2), style)
    for share, style in zip(shares, ("target", "nontarget"), strict=True):
        plot.line(across, np.repeat(share, 2), style)
    for number, (value, shape, _) in enumerate(thresholds):
        # At different heights, as thresholds can lie side by side.
        plot.upright(value, shape, "threshold", 1 - 0.07 * number)
    samples = [
        (swatch(element("path", class_=f"sample {style}", d="M-15 -6H15V6H-15Z")), words)
        for style, words in (("target", "targets: same speaker"), ("nontarget", "nontargets: two speakers"))
    ]
    samples += [(sample(shape, "threshold"), words) for _, shape, words in thresholds]
    rows = [
        (f"{low:.3f} to {high:.3f}", f"{targets:,}", f"{nontargets:,}")
        for low, high, targets, nontargets in zip(
            found.edges[:-1], found.edges[1:], found.targets, found.nontargets, strict=True
        )
    ]
    title = f"Scores of {system.name}"
    said = "; ".join(words for _, _, words in thresholds)
    return Figure(
        title,
        plot.draw(key, title, f"Histogram of targets and of nontargets; {said}. The table has the counts."),
        legend(samples),
        Table(f"Trials by score, {system.name}", (name, "targets", "nontargets"), rows),
    )


def reliability_figure(key: str, system: System, ordered: SortedScores) -> Figure:
    """Whether the log-likelihood ratios of a system that has them hold what they promise."""
    bins = reliability(ordered)
    ends = [value for found in bins for value in (found.llr, found.observed) if isfinite(value)] or [0.0]
    reach = max(abs(min(ends)), abs(max(ends)), 1.0)
    names = ("LLR (natural log) as given", "LLR as observed")
    plot = Plot(*(linear_axis(name, -reach, reach) for name in names))
    line = np.array([plot.x.low, plot.x.high])
    plot.line(line, line, "ideal")
    good = [found for found in bins if isfinite(found.observed) and isfinite(found.llr)]
    plot.line(np.array([f.llr for f in good]), np.array([f.observed for f in good]), "s1")
    for found in good:
        plot.marker(found.llr, found.observed, "circle", "s1 full")
    samples = [
        (sample("circle", "s1 full"), "trials with neighbouring LLRs"),
        (swatch(element("path", class_="line ideal", d="M-15 0H15")), "perfectly calibrated"),
    ]
    for end, shape, words in ((inf, "triangle", "targets only"), (-inf, "wedge", "nontargets only")):
        alone = [found for found in bins if found.observed == end]
        for found in alone:
            plot.marker(found.llr, float(np.sign(end)) * 0.96 * plot.y.high, shape, "s1 open")
        samples += [(sample(shape, "s1 open"), f"{words}: off the scale")] if alone else []
    rows = [
        (f"{f.low:.2f} to {f.high:.2f}", _llr(f.llr), _llr(f.observed), f"{f.targets:,}", f"{f.nontargets:,}")
        for f in bins
    ]
    title = f"Reliability of {system.name}"
    said = "; ".join(f"{_llr(f.llr)} promised, {_llr(f.observed)} observed" for f in bins)
    return Figure(
        title,
        plot.draw(key, title, f"Observed against given log-likelihood ratios: {said}."),
        legend(samples),
        Table(
            f"LLRs given and observed, {system.name}",
            ("LLRs from, to", "given", "observed", "targets", "nontargets"),
            rows,
            "Both classes weigh the same; each row holds the same weight of trials, unless scores are equal.",
        ),
    )


def _llr(value: float) -> str:
    return f"{value:+.2f}" if isfinite(value) else "only targets" if value > 0 else "only nontargets"


def _shape(number: int) -> str:
    """The shape that stands for an operating point; the circle is the EER's."""
    shapes = list(SHAPES)[1:]
    return shapes[number % len(shapes)]


def _marked(system: System, scores: SortedScores) -> list[tuple[str, bool, float, float]]:
    """Shape, whether it is filled, FAR and FRR of the EER and of every operating point (least cost, decided)."""
    marked = [("circle", False, system.summary.eer, system.summary.eer)]
    targets, nontargets = scores.all_cost_points
    frr, far = targets / len(scores.targets), 1 - nontargets / len(scores.nontargets)
    for number, cost in enumerate(system.summary.costs):
        best = np.argmin(cost.point.cost(frr, far))
        marked.append((_shape(number), False, float(far[best]), float(frr[best])))
        if cost.act_dcf is not None:
            curve, threshold = scores.curve(), np.array(cost.point.threshold)
            marked.append((_shape(number), True, float(curve.far(threshold)), float(curve.frr(threshold))))
    return marked


def _thresholds(system: System) -> list[tuple[float, str, str]]:
    """Place, shape and words of every threshold of a system."""
    summary = system.summary
    found = [(summary.eer_threshold, "circle", f"threshold at the EER: {summary.eer_threshold:.3f}")]
    if system.is_llr:
        for number, cost in enumerate(summary.costs):
            value = cost.point.threshold
            found.append((value, _shape(number), f"threshold for {in_words(cost.point)}: {value:.3f}"))
    return found


def _rate_axis(label: str, marked: np.ndarray, eer: float, trials: int) -> Axis:
    """An axis of normal deviates that holds the marked rates and more, as far as so many trials can tell."""
    lowest = max(min(marked.min() / 1.5, eer / 5), 1 / trials / 2)
    low = max([rate for rate in RATES if rate <= lowest], default=RATES[0])
    high = min([rate for rate in RATES if rate >= max(marked.max(), 0.4)], default=RATES[-1])
    shown = [rate for rate in RATES if low <= rate <= high]
    ticks = [(float(normal_deviates(np.array(rate))), f"{100 * rate:g}") for rate in shown]
    return Axis(label, ticks[0][0], ticks[-1][0], ticks)


def _inside(scores: SortedScores, x: Axis, y: Axis) -> tuple[np.ndarray, np.ndarray]:
    """The curve in normal deviates as far as the axes show it, and one point beyond at each end."""
    far, frr = map(normal_deviates, det_points(scores))
    inside = np.flatnonzero((far >= x.low) & (far <= x.high) & (frr >= y.low) & (frr <= y.high))
    if not len(inside):
        return far[:0], frr[:0]
    part = slice(max(inside[0] - 1, 0), inside[-1] + 2)
    return far[part], frr[part]


def _det_table(systems: Sequence[System], ordered: Sequence[SortedScores]) -> Table:
    fewest = min(len(scores.nontargets) for scores in ordered)
    rows = [
        (percent(far), *(percent(scores.curve().miss_rate(far)) for scores in ordered))
        for far in TABLE_FARS
        if far * fewest >= 1
    ]
    return Table(
        "Miss rate where the false acceptance rate is at most", ("FAR", *(s.name for s in systems)), rows
    )


def _det_legend(systems: Sequence[System], names: Sequence[str]) -> Markup:
    samples = [
        (swatch(element("path", class_=f"line {style_of(number)}", d="M-15 0H15")), name)
        for number, name in enumerate(names)
    ]
    samples.append((sample("circle", "s0 open"), "EER"))
    calibrated = any(system.is_llr for system in systems)
    for number, cost in enumerate(systems[0].summary.costs):
        samples.append((sample(_shape(number), "s0 open"), f"least cost for {in_words(cost.point)}"))
        if calibrated:
            samples.append((sample(_shape(number), "s0 full"), f"as decided for {in_words(cost.point)}"))
    return legend(samples)


def sample(shape: str, style: str) -> Markup:
    """A marker for a legend."""
    return swatch(element("path", class_=f"marker {style}", d=SHAPES[shape]))


def legend(samples: Sequence[tuple[Markup, str]]) -> Markup:
    """What stands below a drawing: each sample with its words."""
    items = [element("li", drawn, element("span", words or NOTHING)) for drawn, words in samples]
    return element("ul", *items, class_="legend")
