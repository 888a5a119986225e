"""The parts of the report: markup, axes, drawn lines, thinned curves, histograms, reliability."""

import re
from math import log

import numpy as np
import pytest

from cmd_speaker.evaluation.metrics import SortedScores
from cmd_speaker.report.curves import det_points, histogram, reliability
from cmd_speaker.report.figures import style_of
from cmd_speaker.report.markup import Markup, element, escaped
from cmd_speaker.report.svg import STEPS, Axis, Plot, linear_axis


def test_elements_escape_what_is_not_markup():
    assert (
        element("p", "<b>", Markup("<i>x</i>"), title='"&') == '<p title="&quot;&amp;">&lt;b&gt;<i>x</i></p>'
    )
    assert element("th", "x", aria_label="y", class_="z") == '<th aria-label="y" class="z">x</th>'
    assert escaped("a\x1bb\x00") == "a�b�"


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 14.2, [0, 5, 10, 15]),
        (-0.43, 0.93, [-0.5, 0, 0.5, 1]),
        (3, 3, [2.4, 2.6, 2.8, 3, 3.2, 3.4, 3.6]),
    ],
)
def test_axes_have_round_ticks(low, high, ticks):
    axis = linear_axis("x", low, high)
    assert [place for place, _ in axis.ticks] == pytest.approx(ticks)
    assert axis.low <= low <= high <= axis.high


def test_a_drawn_line_keeps_its_corners_and_loses_the_rest():
    plot = Plot(Axis("x", 0, 1, ()), Axis("y", 0, 1, ()))
    x = np.linspace(0, 1, 100_001)
    plot.line(x, np.where(x < 0.5, 0.0, 1.0), "s1")
    path = re.search(r'class="line s1" d="M([^"]*)"', plot.parts[-1]).group(1)
    corners = np.array([[float(word) for word in point.split()] for point in path.split("L")])
    assert len(corners) == 4
    left, right = float(plot._left(0.0)), float(plot._left(1.0))
    middle = (left + right) / 2
    assert corners[:, 0] == pytest.approx([left, middle, middle, right], abs=1 / STEPS)
    assert (corners[0, 1], corners[3, 1]) == (float(plot._top(0.0)), float(plot._top(1.0)))


def test_a_bend_of_a_drawn_line_is_a_corner():
    plot = Plot(Axis("x", 0, 1, ()), Axis("y", 0, 1, ()))
    plot.line(np.array([0, 0.5, 1]), np.array([0, 0.2, 1]), "s1")
    assert plot.parts[-1].count("L") == 2


def test_a_det_curve_is_thinned_without_visible_loss():
    rng = np.random.default_rng(0)
    labels = np.arange(200_000) < 20_000
    ordered = SortedScores(rng.normal(size=200_000) + 2 * labels, labels)
    far, miss_rate = det_points(ordered)
    assert (far[0], far[-1], miss_rate[0], miss_rate[-1]) == (1, 0, 0, 1)
    assert 200 < len(far) < 4000
    # Between the kept points the whole curve is never off by more than a hundredth of a normal deviate.
    from scipy.special import ndtri

    thresholds = ordered.thresholds()
    whole = ndtri(ordered.curve().far(thresholds)), ndtri(ordered.curve().frr(thresholds))
    inside = np.isfinite(whole[0]) & np.isfinite(whole[1])
    kept = (far > 0) & (far < 1) & (miss_rate > 0) & (miss_rate < 1)
    at = np.interp(-whole[0][inside], -ndtri(far[kept]), ndtri(miss_rate[kept]))
    near = np.abs(at - whole[1][inside]) < 0.011
    # Where the curve is steep, the distance across counts.
    across = np.interp(whole[1][inside], ndtri(miss_rate[kept]), -ndtri(far[kept]))
    assert (near | (np.abs(across + whole[0][inside]) < 0.011)).all()


def test_few_trials_keep_every_point_of_the_curve():
    far, miss_rate = det_points(SortedScores(np.array([0.9, 0.2, 0.6, 0.1]), np.array([1, 1, 0, 0], bool)))
    assert far.tolist() == [1, 0.5, 0.5, 0, 0]
    assert miss_rate.tolist() == [0, 0, 0.5, 0.5, 1]


def test_no_two_systems_look_alike():
    assert len({style_of(number) for number in range(36)}) == 36


def test_the_histogram_counts_every_trial_once():
    found = histogram(SortedScores(np.array([0.0, 1.0, 0.5, 0.5]), np.array([0, 1, 0, 1], bool)), bins=2)
    assert found.edges.tolist() == [0, 0.5, 1]
    assert (found.nontargets.tolist(), found.targets.tolist()) == ([1, 1], [0, 2])


def test_a_calibrated_system_lies_on_the_diagonal():
    # LLR log(3): three targets to a nontarget; log(1/3): the other way round.
    llr = np.repeat([log(3), -log(3)], 4)
    labels = np.array([1, 1, 1, 0, 0, 0, 0, 1], dtype=bool)
    for found in reliability(SortedScores(llr, labels), bins=2):
        assert found.observed == pytest.approx(found.llr)


def test_an_llr_of_any_size_keeps_its_promise():
    bins = reliability(SortedScores(np.array([800.0, -800.0]), np.array([True, False])), bins=2)
    assert [(found.targets, found.nontargets) for found in bins] == [(0, 1), (1, 0)]
    assert [found.observed for found in bins] == [-np.inf, np.inf]


@pytest.mark.parametrize("ends", [(0.5, np.nextafter(0.5, 1)), (-1.5e308, 1.5e308), (7.0, 7.0)])
def test_a_histogram_of_any_range_counts_every_trial(ends):
    found = histogram(SortedScores(np.array(ends), np.array([False, True])))
    assert (found.nontargets.sum(), found.targets.sum()) == (1, 1)
    assert np.isfinite(found.edges).all()
