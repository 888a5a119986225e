"""What a study says about its runs: words, tables, pictures, page."""

import json
import re

import pytest

from cmd_speaker.errors import DataError
from cmd_speaker.evaluation.bootstrap import Difference, PairedDifference
from cmd_speaker.evaluation.comparison import Row
from cmd_speaker.evaluation.intervals import Interval
from cmd_speaker.study.analysis import Compared, Line
from cmd_speaker.study.plots import Series, lines_figure, sweep_figure
from cmd_speaker.study.reader import load_study
from cmd_speaker.study.spec import Configuration
from cmd_speaker.study.study import conduct
from cmd_speaker.study.verdict import verdicts
from tests.studies import SIMPLE


def difference(middle, low, high):
    """A difference of EERs, in points, from a baseline of 10 %."""
    return Difference(0.1, 0.1 + middle / 100, middle / 100, Interval(low / 100, high / 100), middle / 10)


def row(name, found):
    paired = found and PairedDifference(found, found, {}, speakers=50, replicates=1, left_out=0)
    return Row(name, [], paired)


def line(name, found=None, control=None, beyond=None):
    controlled = row(f"{name} (control)", control) if control else None
    return Line(Configuration(name, {}, name), [], row(name, found), controlled, beyond)


def said(*lines):
    return verdicts([Compared("all data", [line("none"), *lines], [])])


BETTER, OPEN, WORSE = difference(-1, -1.5, -0.5), difference(-1, -2.5, 0.5), difference(1, 0.5, 1.5)


def test_a_gain_that_the_control_lacks_is_the_teachers():
    _, text = said(line("soft", BETTER, OPEN, BETTER))
    assert text == (
        "Better than the baseline: soft, EER -1.00 points [-1.50, -0.50]. The teacher's knowledge helps: its "
        "permuted control -1.00 points [-2.50, +0.50], and it is better than that by -1.00 points [-1.50, -0.50]."
    )


def test_a_gain_that_the_control_has_too_is_not_shown_to_be_the_teachers():
    """Nor is it shown not to be: the interval of what lies beyond the control contains 0."""
    _, text = said(line("soft", BETTER, BETTER, OPEN))
    assert text.endswith(
        "But this is not shown to be the teacher's knowledge: its permuted control -1.00 points [-1.50, -0.50] "
        "too, and the two differ by -1.00 points [-2.50, +0.50]."
    )


def test_a_gain_beside_an_open_control_cannot_be_told():
    _, text = said(line("soft", BETTER, OPEN, OPEN))
    assert "Whether by the teacher's knowledge cannot be told" in text
    _, alone = said(line("soft", BETTER))
    assert "It has no control, so it cannot be told whether the teacher's knowledge" in alone


def test_an_interval_that_contains_zero_is_no_gain():
    texts = said(line("a", OPEN), line("b", WORSE))
    assert texts[1:] == [
        "Nothing was shown to help.",
        "Worse than the baseline: b +1.00 points [+0.50, +1.50].",
        "Cannot be told with these speakers and seeds, as the interval contains 0: a -1.00 points [-2.50, +0.50].",
    ]


def test_the_number_of_comparisons_is_said():
    assert said(*(line(f"c{k}", OPEN) for k in range(30)))[0] == (
        "30 comparisons with the baseline, each with a 95 % interval: if no teacher changed anything, about 1.5 "
        "of them would still exclude 0 by chance."
    )
    assert verdicts([Compared("all data", [], ["none"])]) == [
        "Nothing was compared: the final runs are not complete."
    ]


def test_a_baseline_alone_is_not_called_incomplete():
    assert said() == ["Nothing was compared: the baseline is all that there is."]


def test_the_sweep_has_a_line_for_each_term_and_weight():
    found = ((0.8, 2, 0.028), (0, 2, 0.02), ("auto", 2, 1.0), (0.8, 20, 0.208), (0, 20, 0.2))
    measured = [
        (Configuration("x", {}, "feature", {"terms.feature.margin": m, "terms.feature.weight": w}), rate)
        for m, w, rate in found
    ]
    figure = sweep_figure("key", "EER", measured, [0.05, 0.07])
    assert figure.table.header == ["margin", "0", "0.8"]
    assert figure.table.rows == [
        ["feature weight=2", "2", "2.8"], ["feature weight=20", "20", "20.8"], ["baseline", "5 / 7", "5 / 7"]
    ]  # fmt: skip
    assert figure.drawing.count('class="line s') == 2
    assert 'class="area target"' in figure.drawing
    assert sweep_figure("key", "EER", measured[:1], []) is None


STUDY = (
    SIMPLE
    + """
    better: {gain: 1.5}
controls: chosen
conditions: {all: {}, few: {utterances_per_speaker: 2}}
screen: {}
final: {best: 2}
title: "A <b>bold</b> study"
pairs: [[feature margin=0, better], [none, feature margin=0.8]]
"""
)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The folder of a study with a configuration that is better than the baseline, and its files as text."""
    from tests.studies import write_recipe

    folder = tmp_path_factory.mktemp("study")
    write_recipe(folder / "recipe")
    (folder / "study.yaml").write_text(STUDY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cmd_speaker.study.analysis.REPLICATES", 100)
        conduct(load_study(folder / "study.yaml"), folder / "out", 3)
    return folder / "out"


def test_the_page_begins_with_what_helped_and_is_self_contained(page):
    text = (page / "study.html").read_text()
    assert "A &lt;b&gt;bold&lt;/b&gt; study" in text
    first = text.index("Better than the baseline: better, all")
    assert first < text.index("<svg") < text.index("Final runs: all")
    assert "The teacher&#x27;s knowledge helps" in text
    assert not re.search(r"(src|href)=\"(?!#|data:)", text)
    assert "<script" not in text
    identifiers = re.findall(r' id="([^"]+)"', text)
    assert len(identifiers) == len(set(identifiers))


def test_all_that_was_tried_is_listed_with_what_was_chosen(page):
    text = (page / "results.md").read_text()
    assert "8 configurations were tried (all are listed) with 1 seed(s) and without the test list" in text
    part = text[text.index("**Screened: few**") :]
    rows = part.split("\n\n")[1].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in rows]
    # 0.2 - gain / 10 - 3 epochs / 100, in percent.
    assert [found[:3] for found in cells] == [
        ["better", "2.00", "chosen, place 1"], ["feature margin=0", "17.00", "chosen, place 2"],
        ["feature margin=0.8", "17.00", "–"], ["none", "17.00", "always final"],
    ]  # fmt: skip


def test_json_has_every_run_with_command_seconds_and_checksums(page):
    results = json.loads((page / "results.json").read_text())
    # 4 screened, then the baseline, two chosen and their controls with two seeds; each in two conditions.
    assert len(results["runs"]) == 2 * 4 + 2 * 2 * 5
    for run in results["runs"]:
        assert run["seconds"] > 0
        assert run["command"].startswith("cmd-speaker train")
        assert run["checksums"] == {"manifests/test.csv": "1"}
    better = next(each for each in results["compared"]["few"] if each["configuration"] == "better")
    assert better["eer_difference"]["high"] < 0
    # Without gain a control of the recipe that trains nothing has the baseline's own scores.
    assert better["control"]["eer_difference"]["difference"] == 0
    assert better["difference_from_control"] == better["eer_difference"]
    assert results["chosen"] == {name: ["better", "feature margin=0"] for name in ("all", "few")}


def test_pairs_that_were_asked_for_are_compared(page):
    """`feature margin=0` has no gain, so beside it `better` gains what it does over the baseline."""
    results = json.loads((page / "results.json").read_text())
    better = next(each for each in results["compared"]["few"] if each["configuration"] == "better")
    # The other pair was asked for, but one of the two was not chosen.
    assert results["pairs"]["few"] == [
        {"first": "feature margin=0", "second": "better", "eer": better["eer_difference"]}
    ]
    assert "**Pairs: few**" in (page / "results.md").read_text()


def test_curves_and_sweeps_are_drawn(page):
    text = (page / "study.html").read_text()
    titles = re.findall("<figcaption>(.*?)</figcaption>", text)
    assert len(titles) == len(set(titles))
    for title in (
        "validation EER %, few",
        "training loss: text.feature, few",
        "Validation EER, few, against the margin",
    ):
        assert title in titles


def test_a_run_with_two_students_is_refused(write_study, tmp_path):
    study = load_study(write_study(SIMPLE))
    script = tmp_path / "recipe" / "train.py"
    second = '(folder / "b").mkdir()\n(folder / "b" / "scores.txt").touch()'
    script.write_text(f"{script.read_text()}\n{second}\n")
    with pytest.raises(DataError, match=r"the run left 2 files scores\.txt"):
        conduct(study, tmp_path / "out", 1)


def test_the_table_of_a_long_curve_is_thinned():
    series = [Series("a", list(range(1, 101)), [0.01 * k for k in range(1, 101)])]
    table = lines_figure("key", "loss", ("epoch", "loss"), series).table
    # 99 steps in 11 parts of 9.
    assert table.header == ["epoch", *(str(1 + 9 * k) for k in range(12))]
    assert table.rows[0] == ["a", *(f"{0.01 + 0.09 * k:.4g}" for k in range(12))]
    assert table.note == "12 of 100 values; every run's log has them all."
    assert lines_figure("key", "loss", ("epoch", "loss"), [Series("a", [1, 2], [3, 4])]).table.note == ""
