"""The report and the terminal's text, on eight trials whose figures can be worked out by hand.

Four targets score 0.9, 0.8, 0.7, 0.2 and four nontargets 0.6, 0.3, 0.1, 0.0. At threshold 0.6 one of four
nontargets is accepted and one of four targets missed: EER 1/4. Above 0.6 no nontarget is accepted and one target
missed, so that minDCF, with P_target under 1/2, is 1/4, and so is the miss rate at FAR 0.1.
"""

import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from math import exp, log, log2

import pytest

from cmd_speaker.errors import UsageError
from cmd_speaker.evaluation.bootstrap import Difference, Interval
from cmd_speaker.evaluation.operating_point import OperatingPoint
from cmd_speaker.report import as_text, report_paths, write_report
from cmd_speaker.report.evaluate import Question, evaluate_scores
from cmd_speaker.report.verdict import _comparison

TRIALS = (
    ("a1", "a2", 0.9, 1), ("b1", "b2", 0.8, 1), ("c1", "c2", 0.7, 1), ("d1", "d2", 0.2, 1),
    ("a1", "b1", 0.6, 0), ("b1", "c1", 0.3, 0), ("c1", "d1", 0.1, 0), ("a1", "d1", 0.0, 0),
)  # fmt: skip
LLR = (2, 2, 2, -2, 2, -2, -2, -2)
HOSTILE = ("<script>alert(1)</script>", '"><img/src=x/onerror=alert(1)>', "a|b`c`[d](e)", "\x1b\x7f&lt;")


@pytest.fixture
def scored(tmp_path):
    """A function `(name, values) -> path` that writes the trials with these scores, and one for the speakers."""

    def write(name, values=None, trials=TRIALS):
        values = [trial[2] for trial in trials] if values is None else values
        lines = [f"{t[0]} {t[1]} {value} {t[3]}\n" for t, value in zip(trials, values, strict=True)]
        (tmp_path / name).write_text("".join(lines))
        return tmp_path / name

    return write


@pytest.fixture
def speakers(tmp_path):
    utterances = sorted({name for trial in TRIALS for name in trial[:2]})
    (tmp_path / "utt2spk").write_text("".join(f"{name} {name[0]}\n" for name in utterances))
    return tmp_path / "utt2spk"


class Page(HTMLParser):
    """Elements with their attributes, tables as rows of text, and the text of the page."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.tables, self.words, self.open = [], {}, [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag in ("meta", "link", "br"):
            return
        self.open.append(tag)
        if tag == "table":
            self.rows = []
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        elif tag == "caption":
            self.caption = ""

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag == "table":
            self.tables[self.caption] = self.rows

    def handle_data(self, data):
        self.words.append(data)
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data
        elif "caption" in self.open:
            self.caption += data

    def named(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self):
        return " ".join(self.words)


def report(folder, paths, **options):
    """The page, the JSON and the Markdown of some score files."""
    evaluation = evaluate_scores(paths, Question(keep=True, **options))
    written = [path.read_text(encoding="utf-8") for path in write_report(folder / "page.html", evaluation)]
    return Page(written[0]), json.loads(written[1]), written[2], written


def column(rows):
    """The first and the second cell of every row."""
    return {row[0]: row[1] for row in rows}


def test_the_figures_are_those_worked_out_by_hand(scored, tmp_path):
    page, data, markdown, _ = report(tmp_path, [scored("s.txt")], fars=(0.1,))
    rows = column(page.tables["Error rates and costs"])
    assert rows["EER"] == "25.00 %"
    assert rows["minDCF(0.01)"] == rows["minDCF(0.05)"] == "0.250"
    assert rows["miss rate at FAR 10 %"] == "25.00 %"
    assert (rows["targets"], rows["nontargets"]) == ("4", "4")
    assert data["systems"][0]["eer"] == 0.25
    assert data["systems"][0]["eer_low"] is None
    assert "| EER | 25.00 % |" in markdown


def test_calibrated_scores_have_actual_costs_and_reliability(scored, tmp_path):
    half = OperatingPoint(0.5)
    page, data, _, _ = report(tmp_path, [scored("s.txt", LLR)], llr=True, points=[half])
    rows = column(page.tables["Error rates and costs"])
    # Three of four in each class have the right sign: Cllr is the mean of 3/4 small and 1/4 large costs.
    cllr = (3 * log2(1 + exp(-2)) + log2(1 + exp(2))) / 4
    assert rows["Cllr"] == f"{cllr:.3f}"
    # At the Bayes threshold 0: FRR = FAR = 1/4, cost (1/8 + 1/8) / (1/2).
    assert rows["actDCF(0.5)"] == "0.500"
    # 3 of 4 trials with LLR 2 are targets, so log(3) was observed.
    bins = page.tables["LLRs given and observed, " + data["systems"][0]["name"]]
    assert [row[1:3] for row in bins[1:]] == [["-2.00", f"{-log(3):+.2f}"], ["+2.00", f"{log(3):+.2f}"]]
    assert len(data["systems"][0]["reliability"]) == 2


def test_uncalibrated_scores_have_neither_and_it_says_what_to_do(scored, tmp_path):
    page, data, _, _ = report(tmp_path, [scored("s.txt")])
    rows = column(page.tables["Error rates and costs"])
    assert not [name for name in rows if name.startswith("actDCF") or name == "Cllr"]
    assert "min Cllr" in rows
    assert data["systems"][0]["reliability"] is None
    assert data["systems"][0]["cllr"] is None
    assert "not calibrated" in page.text
    assert "calibrate" in page.text


def test_without_speakers_there_is_no_interval_and_it_says_why(scored, tmp_path):
    page, data, markdown, _ = report(tmp_path, [scored("s.txt"), scored("t.txt", LLR)])
    for text in (page.text, markdown, data["warnings"][0]):
        assert "No interval" in text
    assert "No paired differences" in page.text
    assert column(page.tables["All systems"])["Seed"] == "none: without intervals nothing is drawn"


def test_few_speakers_are_warned_of_in_the_page(scored, speakers, tmp_path):
    page, data, markdown, _ = report(tmp_path, [scored("s.txt")], speakers=speakers, replicates=50)
    assert data["warnings"][0].startswith("only 4 speakers")
    assert data["warnings"][1].startswith("50 draws of the bootstrap are too few")
    assert "only 4 speakers" in page.text
    assert "only 4 speakers" in markdown
    low, high = data["systems"][0]["eer_low"], data["systems"][0]["eer_high"]
    interval = f"25.00 % [{100 * low:.2f}, {100 * high:.2f}]"
    assert column(page.tables["Error rates and costs"])["EER"] == interval


def test_several_systems_are_compared_in_pairs(scored, speakers, tmp_path):
    paths = [scored("s.txt"), scored("perfect.txt", [2, 2, 2, 2, -2, -2, -2, -2])]
    page, data, _, _ = report(tmp_path, paths, names=["one", "two"], speakers=speakers, replicates=200)
    rows = page.tables["Differences from one"]
    assert rows[1][:2] == ["two", "EER"]
    assert rows[1][2].startswith("-25.00 points [")
    assert rows[1][4] == ("yes" if data["systems"][1]["eer_difference"]["high"] < 0 else "no")
    assert [row[0] for row in rows[1:]] == ["two"] * 3
    assert "The EER of two is 25.00 points lower than that of one" in page.text
    assert "two: no errors, so no curve" in page.text


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (-0.02, -0.001, "excludes zero"),
        (0.001, 0.02, "excludes zero"),
        (-0.02, 0.0, "includes zero"),
        (0.0, 0.1, "includes zero"),
    ],
)
def test_the_sentence_says_whether_the_interval_excludes_zero(low, high, words):
    sentence = _comparison("b", "a", Difference(0.1, 0.09, -0.01, Interval(low, high), -0.1))
    assert words in sentence
    assert "1.00 points lower" in sentence
    assert ("cannot be told" in sentence) == (words == "includes zero")


def test_groups_of_all_systems_stand_side_by_side(scored, speakers, tmp_path):
    (tmp_path / "meta.csv").write_text("spk_id,gender\na,f\nb,f\nc,m\nd,m\n")
    options = {
        "metadata": [tmp_path / "meta.csv"],
        "columns": ["gender"],
        "speakers": speakers,
        "replicates": 20,
    }
    paths = [scored("s.txt"), scored("t.txt", LLR)]
    page, data, _, _ = report(tmp_path, paths, names=["one", "two"], **options)
    rows = page.tables["By gender"]
    # f & f: targets a, b and the nontarget a1-b1 (0.6, accepted at the threshold 0.6); f & m: two nontargets.
    assert [row[:2] for row in rows[1:]] == [
        [g, s] for g in ("f & f", "f & m", "m & m") for s in ("one", "two")
    ]
    assert rows[1][2:] == ["0.00 %", "100.00 %", "0.00 %", "2", "1", "2"]
    assert rows[3][2:] == ["–", "0.00 %", "–", "0", "2", "4"]
    assert [group["name"] for group in data["systems"][0]["groups"]] == ["f & f", "f & m", "m & m"]


def test_the_worst_trials_are_named_with_their_speakers(scored, speakers, tmp_path):
    path = scored("s.txt")
    page, data, _, _ = report(tmp_path, [path], names=["one"], speakers=speakers, replicates=20)
    assert page.tables["Targets with the lowest scores, one"][1] == ["1", "0.2000", "d1", "d2", "d"]
    assert page.tables["Nontargets with the highest scores, one"][1] == ["1", "0.6000", "a1", "b1", "a / b"]
    assert data["systems"][0]["worst"]["targets"][0]["enrol"] == "d1"


def test_it_says_what_it_rests_on(scored, speakers, tmp_path):
    import hashlib

    trials = tmp_path / "trials.txt"
    trials.write_text("".join(f"{t[3]} {t[0]} {t[1]}\n" for t in TRIALS))
    options = {"trials": trials, "speakers": speakers, "seed": 7, "replicates": 30, "command": "the command"}
    page, data, _, _ = report(tmp_path, [scored("s.txt")], **options)
    facts = column(page.tables["All systems"])
    assert hashlib.sha256(trials.read_bytes()).hexdigest() in facts["Trial list"]
    assert "not one of the known lists" in facts["Trial list"]
    assert (facts["Seed"], facts["Replicates"], facts["Command"]) == ("7", "30", "the command")
    assert float(facts["Seconds"]) >= 0
    of_system = column(page.tables[data["systems"][0]["name"]])
    assert of_system["Post-processing"] == "unknown: no record beside the score file"
    assert data["facts"] == {label: text for label, text in facts.items() if label != "fact"}


def test_hostile_ids_are_text_everywhere(scored, tmp_path):
    trials = [
        (HOSTILE[0], HOSTILE[1], 0.1, 1), (HOSTILE[2], HOSTILE[3], 0.9, 0), ("a", "b", 0.8, 1), ("a", "c", 0.2, 0),
    ]  # fmt: skip
    name = "<b>system</b>"
    page, data, markdown, written = report(tmp_path, [scored("s.txt", trials=trials)], names=[name])
    assert not page.named("script")
    assert not page.named("img")
    assert not page.named("b")
    assert page.tables[f"Targets with the lowest scores, {name}"][1][2:4] == list(HOSTILE[:2])
    shown = page.tables[f"Nontargets with the highest scores, {name}"][1][2:4]
    assert shown == [HOSTILE[2], "��&lt;"]
    assert data["systems"][0]["worst"]["nontargets"][0]["test"] == HOSTILE[3]
    assert "<" not in written[1]
    assert not re.search(r"<(?!/?br)", markdown)
    assert r"a\|b\`c\`\[d\]\(e\)".replace(r"\(", "(").replace(r"\)", ")") in markdown


def test_the_page_is_built_for_everybody(scored, speakers, tmp_path):
    paths = [scored("s.txt", LLR), scored("t.txt", [2 * value for value in LLR])]
    page, _, _, written = report(tmp_path, paths, llr=True, speakers=speakers, replicates=20)
    assert page.named("html") == [{"lang": "en"}]
    assert [len(page.named(tag)) for tag in ("h1", "header", "nav", "main", "footer")] == [1] * 5
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in pairwise(levels))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    drawings = [attributes for attributes in page.named("svg") if attributes.get("aria-hidden") != "true"]
    assert len(drawings) == 5  # DET, two histograms, two reliability plots
    assert all({svg["aria-labelledby"], svg["aria-describedby"]} <= set(ids) for svg in drawings)
    assert len(page.named("caption")) == len(page.named("table")) == len(page.tables)
    assert {attributes.get("scope") for attributes in page.named("th")} == {"col", "row"}
    links = [attributes["href"] for attributes in page.named("a")]
    assert all(link.startswith("#") and link[1:] in ids for link in links)
    assert not re.findall(r"(?:src|href)=\"(?!#|data:,)", written[0])
    assert any("default-src 'none'" in attributes["content"] for attributes in page.named("meta")[1:])


def test_the_same_scores_give_the_same_bytes(scored, speakers, tmp_path):
    path, found = scored("s.txt", LLR), []
    for folder in ("one", "two"):
        _, _, _, written = report(tmp_path / folder, [path], llr=True, speakers=speakers, replicates=20)
        found.append(
            [re.sub(r"\b\d+\.\d\d\b(?=(</td>|\"| \|).*$)", "", text, flags=re.M) for text in written]
        )
    assert [len(text) for text in found[0]] == [len(text) for text in found[1]]
    assert found[0] == found[1]


def test_the_terminal_shows_the_same(scored, speakers, tmp_path):
    paths = [scored("s.txt"), scored("t.txt", LLR)]
    text = as_text(evaluate_scores(paths, Question(names=["one", "two"], speakers=speakers, replicates=20)))
    lines = [line.split() for line in text.splitlines()]
    assert ["measure", "one", "two"] in lines
    assert next(line for line in lines if line[:1] == ["EER"])[1:3] == ["25.00", "%"]
    assert "The EERs of two and one are equal" in text


def test_a_page_is_named_html_and_replaces_no_input(tmp_path):
    page, calibration = tmp_path / "a.html", tmp_path / "a.json"
    assert report_paths(page, [tmp_path / "b.json"]) == (page, calibration, tmp_path / "a.md")
    with pytest.raises(UsageError, match=r"expected PAGE.html, found .*a\.json"):
        report_paths(calibration)
    with pytest.raises(UsageError, match=r"a\.json would be overwritten, which is read"):
        report_paths(page, [tmp_path / "sub" / ".." / "a.json"])
