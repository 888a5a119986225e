"""The comparison of systems by hand: two systems, two runs each, four speakers."""

import pytest

from cmd_speaker.evaluation.comparison import caution, compare, describe, markdown, table
from cmd_speaker.evaluation.summary import summarise
from cmd_speaker.lists.scores import load_scores
from cmd_speaker.plots import comparison_figure

SPEAKERS = {f"{speaker}{k}": speaker for speaker in "abcd" for k in (1, 2)}
TARGETS = [("a1", "a2"), ("b1", "b2"), ("c1", "c2"), ("d1", "d2")]
NONTARGETS = [("a1", "b1"), ("b1", "c1"), ("c1", "d1"), ("d1", "a1")]
GOOD = ([5, 6, 7, 8], [1, 2, 3, 4])
"""Target and nontarget scores without an error: EER 0."""
ONE_WRONG = ([5, 6, 7, 1], [8, 2, 3, 4])
"""One of four targets below, one of four nontargets above every threshold between 4 and 5: EER 0.25."""
TWO_WRONG = ([5, 6, 1, 2], [7, 8, 3, 4])
"""Two of four each: EER 0.5."""


def scores(tmp_path, name, values):
    path = tmp_path / f"{name}.txt"
    lines = [f"{a} {b} {score} 1" for (a, b), score in zip(TARGETS, values[0], strict=True)]
    lines += [f"{a} {b} {score} 0" for (a, b), score in zip(NONTARGETS, values[1], strict=True)]
    path.write_text("\n".join(lines) + "\n")
    return load_scores(path)


@pytest.fixture
def rows(tmp_path):
    systems = {
        "first": [scores(tmp_path, "a", ONE_WRONG), scores(tmp_path, "b", TWO_WRONG)],
        "second": [scores(tmp_path, "c", GOOD), scores(tmp_path, "d", ONE_WRONG)],
    }
    return compare(systems, SPEAKERS, replicates=50)


def test_means_and_differences_by_hand(rows):
    first, second = rows
    assert [run.eer for run in first.runs] == [0.25, 0.5]
    assert first.eer == pytest.approx(0.375)
    assert second.eer == pytest.approx(0.125)
    assert first.difference is None
    assert second.difference.eer.difference == pytest.approx(-0.25)
    assert second.difference.eer.relative == pytest.approx(-2 / 3)
    assert first.min_dcf == pytest.approx(sum(run.min_dcf_005 for run in first.runs) / 2)


def test_runs_are_paired_in_order(tmp_path):
    """Equal runs in the same order do not differ in any replicate; in reverse order they do."""
    a, b = scores(tmp_path, "a", GOOD), scores(tmp_path, "b", TWO_WRONG)
    same = compare({"x": [a, b], "y": [a, b]}, SPEAKERS, replicates=50)[1].difference.eer
    assert (same.difference, same.interval.low, same.interval.high) == (0, 0, 0)


def test_the_table_says_it_in_percent_and_points(rows):
    interval = rows[1].difference.eer.interval
    assert interval.low < interval.high <= 0
    header, line, first, second = table(rows).splitlines()
    assert header.split("  ")[0] == "system"
    assert set(line) == {"-"}
    assert first.split() == ["first", "37.50", "(25.00", "/", "50.00)", f"{rows[0].min_dcf:.3f}"]
    low, high = f"[{100 * interval.low:+.2f},", f"{100 * interval.high:+.2f}]"
    assert second.split()[5:] == [f"{rows[1].min_dcf:.3f}", "-25.00", low, high, "-66.7%"]
    assert markdown(rows).splitlines()[3].split("|")[4].split()[0] == "-25.00"


def test_one_run_shows_its_interval_and_a_perfect_baseline_no_relative_difference(tmp_path):
    a, b = scores(tmp_path, "a", GOOD), scores(tmp_path, "b", ONE_WRONG)
    rows = compare({"x": [b], "y": [a]}, SPEAKERS, replicates=50)
    own = summarise(b, SPEAKERS, replicates=50)
    assert f"25.00  [{100 * own.eer_low:.2f}, {100 * own.eer_high:.2f}]" in table(rows)
    assert "EER % [95 %]" in table(rows)
    assert "nan" not in table(compare({"x": [a], "y": [b]}, SPEAKERS, replicates=50))


def test_few_speakers_are_warned_of(rows):
    assert describe(rows) == "4 speakers, 4 targets, 4 nontargets"
    assert caution(rows).startswith("Note: only 4 speakers: ")


def test_the_picture_shows_the_figures_of_the_table(rows):
    left, right = comparison_figure([("title", rows)]).axes
    dots = [line.get_xdata().tolist() for line in left.get_lines() if line.get_marker() == "o"]
    assert dots == [[25.0, 50.0], [0.0, 25.0]]
    means = [line.get_xdata()[0] for line in left.get_lines() if line.get_marker() == "|"]
    assert means == pytest.approx([37.5, 12.5])
    interval = rows[1].difference.eer.interval
    drawn = [list(line.get_xdata()) for line in right.get_lines()]
    assert [100 * interval.low, 100 * interval.high] in drawn
    assert [pytest.approx(-25.0)] in drawn
    assert [label.get_text() for label in left.get_yticklabels()] == ["first", "second"]


def test_the_picture_of_one_run_shows_its_interval(tmp_path):
    rows = compare({"x": [scores(tmp_path, "a", ONE_WRONG)]}, SPEAKERS, replicates=50)
    (left, _) = comparison_figure([("title", rows)]).axes
    run = rows[0].runs[0]
    assert [100 * run.eer_low, 100 * run.eer_high] in [list(line.get_xdata()) for line in left.get_lines()]
