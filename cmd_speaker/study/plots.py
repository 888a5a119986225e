"""The pictures of a study: differences with their intervals, margin sweep, noise, training curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cmd_speaker.evaluation.bootstrap import Difference
from cmd_speaker.report.figures import Figure, legend, sample, style_of
from cmd_speaker.report.markup import Markup, element
from cmd_speaker.report.svg import HEIGHT, Axis, Plot, linear_axis, swatch
from cmd_speaker.report.tables import NOTHING, Table
from cmd_speaker.study.analysis import Compared, Line, by_validation_eer, sign
from cmd_speaker.study.collection import Result
from cmd_speaker.study.spec import Configuration, control_name
from cmd_speaker.study.verdict import points

ROW = 36.0
"""Height of a row of the picture of differences."""
CLASSES = {-1: "s3", 0: "s6", 1: "s2"}
"""Style of a difference: better, open, worse."""
WORDS = {-1: "better than the baseline", 0: "cannot be told", 1: "worse than the baseline"}
SHOWN = 38
"""Characters of a name in that picture."""
MARGIN = "margin"
CURVES = 6
"""Lines that can be told apart beside the baseline's."""
COLUMNS = 12
"""How many points of a curve its table shows."""


@dataclass(frozen=True)
class Series:
    """A named line: its points in the order of x."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


def differences_figure(key: str, compared: Compared, baseline: str) -> Figure:
    """EER of every configuration minus that of the baseline, each with its control, with 95 % intervals."""
    rows = list(_differences(compared.lines))
    ends = [100 * end for _, found, _ in rows for end in (found.interval.low, found.interval.high)]
    count = len(rows)
    plot = Plot(
        linear_axis("EER minus the baseline's, points", min([0.0, *ends]), max([0.0, *ends])),
        Axis("", -0.7, count - 0.1, []),
        height=HEIGHT - 226 + ROW * count,
    )
    plot.line(np.zeros(2), np.array([plot.y.low, plot.y.high]), "threshold")
    for place, (name, found, is_control) in enumerate(rows):
        height = count - 1 - place
        style = CLASSES[sign(found.interval)]
        shown = "its control, permuted" if is_control else name
        plot.text(plot.x.low, height + 0.22, shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}...")
        bounds = np.array([100 * found.interval.low, 100 * found.interval.high])
        plot.line(bounds, np.array([height - 0.2] * 2), f"{style} d3" if is_control else style)
        plot.marker(
            100 * found.difference, height - 0.2, "circle", f"{style} {'open' if is_control else 'full'}"
        )
    title = f"Difference from {baseline}, {compared.condition}"
    samples = [(sample("circle", f"{CLASSES[kind]} full"), WORDS[kind]) for kind in (-1, 0, 1)]
    samples.append((sample("circle", "s6 open"), "control: permuted teachers"))
    table = Table(
        title, ("configuration", "difference [95 %]", "relative"),
        [(name, points(found), _relative(found)) for name, found, _ in rows],
        "Left of 0 is better. Intervals over speakers, paired by trial and seed.",
    )  # fmt: skip
    said = "; ".join(f"{name}: {points(found)}" for name, found, _ in rows)
    return Figure(title, plot.draw(key, title, f"{said}."), legend(samples), table)


def _differences(lines: Sequence[Line]) -> list[tuple[str, Difference, bool]]:
    rows = []
    for line in lines:
        if line.difference is not None:
            rows.append((line.name, line.difference, False))
        if line.control is not None and line.control.difference is not None:
            rows.append((control_name(line.name), line.control.difference.eer, True))
    return rows


def _relative(found: Difference) -> str:
    return NOTHING if np.isnan(found.relative) else f"{found.relative:+.1%}"


def sweep_figure(
    key: str, what: str, measured: Sequence[tuple[Configuration, float]], baseline: Sequence[float]
) -> Figure | None:
    """A rate against the margin, one line for each term and weight; None where no margin is swept.

    `measured` are rates as fractions, `baseline` those of the baseline's seeds, drawn as a band between the lowest
    and the highest.
    """
    lines: dict[str, list[tuple[float, float]]] = {}
    for configuration, rate in measured:
        margin = _margin(configuration)
        if margin is not None:
            rest = [
                f"{name.rpartition('.')[2]}={value}" for name, value in _but_margin(configuration).items()
            ]
            lines.setdefault(" ".join([configuration.family, *rest]), []).append((margin, 100 * rate))
    if not any(len(found) > 1 for found in lines.values()):
        return None
    series = [Series(name, *zip(*sorted(found), strict=True)) for name, found in lines.items()]
    band = [100 * rate for rate in baseline]
    return lines_figure(key, f"{what} against the margin", ("margin", f"{what} %"), series, band)


def _margin(configuration: Configuration) -> float | None:
    """The margin that the grid gave, where it is a number."""
    for name, value in configuration.varied.items():
        if name.rpartition(".")[2] == MARGIN and isinstance(value, int | float):
            return float(value)
    return None


def _but_margin(configuration: Configuration) -> dict[str, Any]:
    return {name: value for name, value in configuration.varied.items() if name.rpartition(".")[2] != MARGIN}


def curve_figures(compared: Compared, prefix: str) -> list[Figure]:
    """What training logged, epoch by epoch, mean over the seeds: validation EER and every loss.

    Drawn are the baseline and the `CURVES` configurations of the lowest validation EER.
    """
    lines = [*compared.lines[:1], *by_validation_eer(compared.lines[1:])[:CURVES]]
    names = list(dict.fromkeys(name for line in lines for name in line.losses))
    wanted = [("valid eer", "validation EER %", 100.0)]
    wanted += [(f"train {name}", f"training loss: {name}", 1.0) for name in names]
    figures = []
    for number, (logged, name, factor) in enumerate(wanted):
        found = [(line.name, _curve(line.results, logged)) for line in lines]
        series = [
            Series(who, list(curve), [factor * y for y in curve.values()]) for who, curve in found if curve
        ]
        if series:
            title = f"{name}, {compared.condition}"
            figures.append(lines_figure(f"{prefix}-{number}", title, ("epoch", name), series))
    return figures


def _curve(results: Sequence[Result], name: str) -> dict[float, float]:
    """Epoch -> mean of a logged figure over the seeds, for the epochs in which all have it."""
    each = [{epoch["epoch"]: epoch[name] for epoch in result.epochs if name in epoch} for result in results]
    common = sorted(set(each[0]).intersection(*each[1:]))
    return {epoch: sum(found[epoch] for found in each) / len(each) for epoch in common}


def noise_figure(
    key: str, condition: str, eers: Mapping[str, Mapping[float, float]], clean: Mapping[str, float]
) -> Figure:
    """EER against the noise, one line for each configuration; clean speech stands first."""
    snrs = sorted({snr for found in eers.values() for snr in found}, reverse=True)
    places = {snr: float(place) for place, snr in enumerate(snrs, start=1)}
    series = [
        Series(name, [0.0, *places.values()], [100 * clean[name], *(100 * found[snr] for snr in snrs)])
        for name, found in eers.items()
    ]
    ticks = [(0.0, "clean"), *((place, f"{snr:g}") for snr, place in places.items())]
    across = Axis("noise in the test speech, SNR in dB", 0.0, float(len(snrs)), ticks)
    title = f"EER against noise, {condition}"
    return lines_figure(key, title, ("SNR", "EER %"), series, across=across)


def lines_figure(
    key: str,
    title: str,
    names: tuple[str, str],
    series: Sequence[Series],
    band: Sequence[float] = (),
    across: Axis | None = None,
) -> Figure:
    """Lines through marked points; `band` are the baseline's values, `across` an x axis that is no linear one."""
    xs = [value for each in series for value in each.x]
    ys = [value for each in series for value in each.y]
    x = across or linear_axis(names[0], min(xs), max(xs))
    plot = Plot(x, linear_axis(names[1], min([*ys, *band]), max([*ys, *band])))
    samples: list[tuple[Markup, str]] = []
    if band:
        plot.band(min(band), max(band), "target")
        plot.line(np.array([x.low, x.high]), np.full(2, np.mean(band)), "ideal")
        drawn = swatch(element("path", class_="line ideal", d="M-15 0H15"))
        samples.append((drawn, "baseline, its seeds as a band"))
    for number, each in enumerate(series):
        style = style_of(number)
        plot.line(np.array(each.x), np.array(each.y), style)
        for left, up in zip(each.x, each.y, strict=True) if len(each.x) < 12 else ():
            plot.marker(left, up, "circle", f"{style} open")
        samples.append((swatch(element("path", class_=f"line {style}", d="M-15 0H15")), each.name))
    places = sorted(set(xs))
    columns = _thinned(places)
    note = (
        f"{len(columns)} of {len(places)} values; every run's log has them all." if columns != places else ""
    )
    labels = {place: label for place, label in x.ticks} if across else {}
    header = [names[0], *(labels.get(value, f"{value:g}") for value in columns)]
    rows = [[each.name, *_values(each, columns)] for each in series]
    if band:
        rows.append(["baseline", *[" / ".join(f"{value:.4g}" for value in band)] * len(columns)])
    return Figure(title, plot.draw(key, title, f"{names[1]} against {names[0]}; the table has the values."),
                  legend(samples), Table(title, header, rows, note))  # fmt: skip


def _thinned(values: Sequence[float]) -> list[float]:
    """At most `COLUMNS` of them, evenly spaced, the first and the last among them."""
    if len(values) <= COLUMNS:
        return list(values)
    return [values[round(place)] for place in np.linspace(0, len(values) - 1, COLUMNS)]


def _values(series: Series, columns: Sequence[float]) -> list[str]:
    found = dict(zip(series.x, series.y, strict=True))
    return [f"{found[value]:.4g}" if value in found else NOTHING for value in columns]
