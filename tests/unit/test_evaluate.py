"""From score files to an evaluation: names, trial lists, calibrations, records, and files of any length."""

import json
import os
import subprocess
import sys
from math import log
from pathlib import Path

import numpy as np
import pytest

from cmd_speaker.calibration.calibration import Calibration, Origin
from cmd_speaker.calibration.calibration_file import save_calibration
from cmd_speaker.calibration.qualities import Quality
from cmd_speaker.corpora import VOXCELEB1_LISTS
from cmd_speaker.errors import CmdSpeakerError, DataError, UsageError
from cmd_speaker.files import file_checksum
from cmd_speaker.report.evaluate import Question, evaluate_scores, system_names
from cmd_speaker.report.provenance import post_processing
from cmd_speaker.scoring.record import save_record
from tests.calibrations import BACKEND

LINES = ("a1 a2 0.9 1", "b1 b2 0.8 1", "c1 c2 0.2 1", "a1 b1 0.6 0", "b1 c1 0.3 0", "a1 c1 0.1 0")


@pytest.fixture
def scores(tmp_path):
    (tmp_path / "scores.txt").write_text("\n".join(LINES) + "\n")
    return tmp_path / "scores.txt"


@pytest.fixture
def calibration(tmp_path):
    """A function that writes LLR = 10 * score - 5, perhaps with qualities, and returns its path."""

    def write(**more):
        origin = Origin(
            {"name": "dev.txt", "sha256": "0" * 64}, None, 500, 700, backend=BACKEND, model="m" * 64
        )
        save_calibration(tmp_path / "calibration.json", Calibration(10.0, -5.0, 0.05, origin, **more))
        return tmp_path / "calibration.json"

    return write


def evaluate(*paths, **options):
    return evaluate_scores(paths, Question(**options))


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["runs/a/scores.txt", "runs/b/scores.txt"], ["a", "b"]),
        (["runs/a/x.txt", "runs/a/y.txt"], ["x.txt", "y.txt"]),
        (["runs/a/1/s.txt", "runs/b/2/s.txt"], ["a/1", "b/2"]),
        (["s.txt", "old/s.txt"], ["s.txt", "old/s.txt"]),
        (["/long/way/run/s.txt"], ["run/s.txt"]),
        (["/way/s.txt", "s.txt"], ["/way/s.txt", "s.txt"]),
    ],
)
def test_systems_are_called_after_what_tells_their_paths_apart(paths, names):
    assert system_names([Path(path) for path in paths]) == names


def test_distances_are_noticed(scores):
    assert not any("above 50 %" in text for text in evaluate(scores).warnings)
    scores.write_text("".join(f"{a} {b} -{score} {label}\n" for a, b, score, label in map(str.split, LINES)))
    assert any("change the sign of a distance" in text for text in evaluate(scores).warnings)


def test_a_score_file_that_is_not_there(tmp_path):
    for path in (tmp_path / "none.txt", tmp_path):
        with pytest.raises(DataError, match=r"no such score file\. Check the path"):
            evaluate(path)


def test_names_that_do_not_fit_are_refused():
    paths = [Path("a"), Path("b")]
    assert system_names(paths, ["one", "two"]) == ["one", "two"]
    with pytest.raises(UsageError, match="expected 2, found 1"):
        system_names(paths, ["one"])
    with pytest.raises(UsageError, match="two systems have the name 'one'"):
        system_names(paths, ["one", "one"])
    with pytest.raises(UsageError, match="--name"):
        system_names([Path("a"), Path("a")])


def test_one_file_read_in_blocks_has_the_figures_of_the_whole(scores, monkeypatch):
    import cmd_speaker.report.evaluate as module

    whole = evaluate(scores, keep=True, llr=True).systems[0]
    monkeypatch.setattr(module, "load_scores", lambda path: pytest.fail("the whole file was read"))
    blocks = evaluate(scores, llr=True).systems[0]
    assert blocks.summary == whole.summary
    assert evaluate(scores).systems[0].summary.cllr is None
    assert (blocks.scores, len(whole.kept_scores())) == (None, 6)
    with pytest.raises(UsageError, match="keep"):
        blocks.kept_scores()


def test_every_trial_needs_a_score_and_others_are_counted(scores, tmp_path):
    trials = tmp_path / "trials.txt"
    trials.write_text("1 a1 a2\n0 a1 b1\n")
    evaluation = evaluate(scores, trials=trials)
    assert (evaluation.systems[0].summary.targets, evaluation.systems[0].summary.nontargets) == (1, 1)
    assert "4 scores of trials" in evaluation.warnings[0]
    trials.write_text("1 a1 a2\n0 a1 b1\n0 a2 b2\n")
    with pytest.raises(CmdSpeakerError, match=r"trials\.txt, row 3"):
        evaluate(scores, trials=trials)


def test_other_systems_are_brought_into_the_order_of_the_first(scores, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text("\n".join(line[:-2] for line in reversed(LINES)) + "\n")
    first, second = evaluate(scores, other).systems
    assert second.kept_scores().scores.tolist() == first.kept_scores().scores.tolist()
    assert second.summary == first.summary
    other.write_text("\n".join(LINES[1:]) + "\n")
    with pytest.raises(CmdSpeakerError, match="a1 a2"):
        evaluate(scores, other)


def test_a_calibration_makes_llrs(scores, calibration):
    path = calibration()
    evaluation = evaluate(scores, calibrations=[path], keep=True)
    system = evaluation.systems[0]
    assert system.is_llr
    assert system.kept_scores().scores == pytest.approx([4, 3, -3, 1, -2, -4])
    # Targets with LLR 4 and 3 and the nontarget with 1 are above log(0.5 / 0.5) = 0, and below log(99).
    assert system.summary.costs[0].point.threshold == pytest.approx(log(99))
    assert system.summary.costs[0].act_dcf == pytest.approx(1)
    assert "10 * score -5; fitted for prior 0.05 on dev.txt" in system.facts["Calibration"]
    assert file_checksum(path) in system.facts["Calibration"]
    assert system.calibration["slope"] == 10
    assert any("no record" in warning for warning in evaluation.warnings)
    assert not any("not calibrated" in warning for warning in evaluation.warnings)
    assert evaluate(scores, calibrations=[path]).systems[0].summary == system.summary


def test_a_calibration_with_qualities_needs_their_table(scores, calibration, tmp_path):
    quality = Quality("norm", mean=0.0, scale=1.0, low=0.0, high=2.0, lower_weight=1.0, higher_weight=0.0)
    path = calibration(qualities=(quality,))
    with pytest.raises(CmdSpeakerError, match="norm"):
        evaluate(scores, calibrations=[path], keep=True)
    (tmp_path / "q.csv").write_text("ID,norm\na1,1\na2,3\nb1,0.5\nb2,1\nc1,2\nc2,2\n")
    evaluation = evaluate(scores, calibrations=[path], metadata=[tmp_path / "q.csv"], keep=True)
    # The lower norm of each pair is added: a1-a2 1, b1-b2 0.5, c1-c2 2, a1-b1 0.5, b1-c1 0.5, a1-c1 1.
    llr = np.add([4, 3, -3, 1, -2, -4], [1, 0.5, 2, 0.5, 0.5, 1])
    assert evaluation.systems[0].kept_scores().scores == pytest.approx(llr)
    assert any("1 trials have a norm beyond" in warning for warning in evaluation.warnings)


def test_calibrations_are_none_one_or_one_for_each(scores, calibration):
    path = calibration()
    both = evaluate(scores, scores, calibrations=[path], names=["a", "b"])
    assert [system.is_llr for system in both.systems] == [True, True]
    with pytest.raises(UsageError, match="once for each of 2"):
        evaluate(scores, scores, calibrations=[path] * 3, names=["a", "b"])
    with pytest.raises(UsageError, match="--llr"):
        evaluate(scores, calibrations=[path], llr=True)


def test_groups_need_a_table(scores):
    with pytest.raises(UsageError, match="--metadata"):
        evaluate(scores, columns=["gender"])


def record(scores, **more):
    described = {"name": "e.npz", "sha256": "e" * 64, "count": 6, "model": "m" * 64}
    save_record(scores, {"embeddings": described, "trials": None, "backend": BACKEND, "seconds": 1.5, **more})


def test_the_record_tells_how_the_scores_came_about(scores, calibration):
    record(scores)
    evaluation = evaluate(scores, calibrations=[calibration()])
    facts = evaluation.systems[0].facts
    assert facts["Embeddings"] == f"e.npz (6), SHA-256 {'e' * 64}; model SHA-256 {'m' * 64}"
    assert facts["Post-processing"].startswith("cosine; no mean subtracted; no score normalisation")
    assert facts["Scored in"].startswith("1.5 s")
    assert not any("no record" in warning for warning in evaluation.warnings)
    scores.write_text(scores.read_text().replace("0.9", "0.95"))
    with pytest.raises(DataError, match="has changed since"):
        evaluate(scores)


def test_a_list_is_recognised_by_the_checksum_in_the_record(scores):
    checksum, name = next(iter(VOXCELEB1_LISTS.items()))
    record(scores, trials={"name": "t.txt", "sha256": checksum})
    assert evaluate(scores).systems[0].facts["Scored trials"] == f"{name}; t.txt, SHA-256 {checksum}"


def test_scores_recorded_as_calibrated_are_llrs_and_are_not_calibrated_twice(scores, calibration):
    record(scores, calibration={"name": "c.json", "sha256": "c" * 64})
    system = evaluate(scores).systems[0]
    assert system.is_llr
    assert system.facts["Calibration"] == f"applied when scored: c.json, SHA-256 {'c' * 64}"
    with pytest.raises(DataError, match="calibrated already"):
        evaluate(scores, calibrations=[calibration()])


def test_a_calibration_of_another_back_end_is_refused(scores, calibration):
    record(scores, backend={**BACKEND, "norm": "as", "top": 300})
    with pytest.raises(DataError, match="another back-end"):
        evaluate(scores, calibrations=[calibration()])


def test_post_processing_in_words():
    cohort = {"name": "train.npz", "sha256": "c" * 64, "count": 6000}
    backend = BACKEND | {
        "mean": {"name": "train.npz", "sha256": "t" * 64},
        "norm": "as",
        "top": 300,
        "cohort": cohort,
    }
    assert post_processing(backend) == (
        f"cosine; mean of train.npz, SHA-256 {'t' * 64} subtracted; "
        f"as-norm, top 300, cohort train.npz (6,000), SHA-256 {'c' * 64}; "
        "several utterances of an enrolment: average"
    )
    plda = post_processing(
        {**BACKEND, "scorer": "plda", "plda": {"name": "t.npz", "sha256": "t" * 64, "rank": 50}}
    )
    assert plda.startswith(f"plda; trained on t.npz, SHA-256 {'t' * 64}, rank 50; no mean subtracted")


def test_a_known_list_is_recognised(scores, tmp_path, monkeypatch):
    from cmd_speaker.corpora import trial_lists

    trials = tmp_path / "trials.txt"
    trials.write_text("1 a1 a2\n0 a1 b1\n")
    monkeypatch.setattr(trial_lists, "VOXCELEB1_LISTS", {file_checksum(trials): "the list"})
    assert evaluate(scores, trials=trials).facts["Trial list"].startswith("the list; ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--point", "0.01,2"], "P,CMISS,CFA"),
        (["--point", "high"], "found 'high'"),
        (["--point", "1.5"], "prior between 0 and 1"),
        (["--point", "1e-320"], "from 1e-12 on"),
        (["--point", "0.01,1,1e300"], "from 1e-12 on"),
        (["--far", "1.5"], "between 0 and 1"),
        (["--report", "page.json"], "PAGE.html"),
        (["--report", "utt2spk.html", "--calibration", "utt2spk.json"], "would be overwritten"),
        (["--report", "scores.txt.html"], "scores.txt.json would be overwritten, which is read"),
        (["--by", "gender"], "--metadata"),
        (["--metadata", "table.csv"], "--metadata is for --by"),
    ],
)
def test_wrong_options(scores, capsys, arguments, words, monkeypatch):
    monkeypatch.chdir(scores.parent)
    from cmd_speaker.cli import app
    from cmd_speaker.errors import exit_code_of

    assert exit_code_of(lambda: app(["evaluate", str(scores), *arguments], standalone_mode=False)) == 2
    assert words in capsys.readouterr().err


def test_evaluate_loads_neither_torch_nor_matplotlib(scores):
    arguments = ["evaluate", str(scores), "--report", str(scores.with_suffix(".html"))]
    code = (
        "import sys\nfrom cmd_speaker.cli import app\n"
        f"app({arguments}, standalone_mode=False)\n"
        "print([name for name in ('torch', 'matplotlib', 'speechbrain') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_terminal_that_cannot_show_all_ends_nothing(scores, tmp_path):
    (tmp_path / "table.csv").write_text("ID,side\na1,l\na2,l\nb1,r\nb2,r\nc1,r\nc2,r\n")
    code = "from cmd_speaker.cli import main; main()"
    arguments = ["evaluate", str(scores), "--metadata", str(tmp_path / "table.csv"), "--by", "side"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    )  # fmt: skip
    assert r"\u2013" in done.stdout


@pytest.mark.parametrize("breaks", ["print", "report"])
def test_report_and_figures_do_not_take_each_other_along(scores, tmp_path, capsys, monkeypatch, breaks):
    from cmd_speaker import report
    from cmd_speaker.cli import app

    def fail(*_):
        raise DataError("no space")

    monkeypatch.setattr(report, "as_text" if breaks == "print" else "write_report", fail)
    with pytest.raises(DataError, match="no space"):
        app(["evaluate", str(scores), "--report", str(tmp_path / "p.html")], standalone_mode=False)
    assert (tmp_path / "p.html").exists() == (breaks == "print")
    assert ("EER" in capsys.readouterr().out) == (breaks == "report")


def test_the_command_line_writes_the_report(scores, tmp_path, capsys):
    from cmd_speaker.cli import app

    page = tmp_path / "sub" / "page.html"
    arguments = ["--point", "0.5", "--far", "0.4", "--llr", "--json", "--name", "mine", "--report", str(page)]
    app(["evaluate", str(scores), *arguments], standalone_mode=False)
    out, err = capsys.readouterr()
    printed, written = json.loads(out), json.loads(page.with_suffix(".json").read_text())
    assert (printed["name"], printed["scores"]) == ("mine", str(scores))
    assert {key: written["systems"][0][key] for key in printed} == printed
    assert {"miss_at_far_0.4", "act_dcf_05", "eer", "eer_low"} <= set(printed)
    assert str(page.with_suffix(".md")) in err
