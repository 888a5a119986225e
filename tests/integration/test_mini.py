"""The Mini recipe from nothing to its table, small: four students, one corpus, one stage 1."""

import json

import pytest

from cmd_speaker.cli import main
from cmd_speaker.model import SpeakerModel

SIZES = {"training_speakers": 6, "validation_speakers": 4, "test_speakers": 4, "number_of_epochs": 1}
SMALL = [part for key, value in SIZES.items() for part in (f"--{key}", str(value))]
SMALL += ["--batch_size", "16", "--width", "8"]
STUDENTS = ("audio_only", "text", "face", "text_and_face")


def train(folder, monkeypatch, *more):
    command = ["cmd-speaker", "train", "recipes/Mini/hparams/mini.yaml", "--output_folder", str(folder)]
    monkeypatch.setattr("sys.argv", [*command, *SMALL, *more])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mini") / "run"
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert train(folder, monkeypatch) == 0
    return folder


def test_every_student_has_a_model_scores_and_a_row_in_the_results(run):
    results = json.loads((run / "results.json").read_text())
    assert list(results) == list(STUDENTS)
    for name in STUDENTS:
        assert SpeakerModel.load(run / name / "model").embed(
            run / "corpus/wav/id30001/s1/00001.flac"
        ).shape == (192,)
        trials = (run / "corpus" / "manifests" / "test_trials.txt").read_text()
        assert (run / name / "scores.txt").read_text().count("\n") == trials.count("\n")
        assert 0 <= results[name]["eer"] <= 1
    assert results["audio_only"]["eer_difference"] is None
    difference = results["text"]["eer_difference"]
    assert difference["difference"] == pytest.approx(results["text"]["eer"] - results["audio_only"]["eer"])


def test_the_pictures_are_there(run):
    for name in ("corpus.png", "results.png"):
        assert (run / name).read_bytes().startswith(b"\x89PNG")


def test_students_share_corpus_cache_and_teachers_and_differ_in_what_taught_them(run):
    assert {path.name for path in (run / "teachers").iterdir()} == {"text", "face"}
    for name in STUDENTS:
        assert not {"corpus", "cache", "teachers"} & {path.name for path in (run / name).iterdir()}
        log = (run / name / "train_log.txt").read_text()
        assert ("text.feature" in log) == ("text" in name)
        assert ("face.feature" in log) == ("face" in name)
    records = [json.loads((run / name / "run.json").read_text()) for name in STUDENTS]
    assert len({record["fingerprint"] for record in records}) == 4
    assert (
        records[1]["checksums"]["text/targets.safetensors"]
        == records[3]["checksums"]["text/targets.safetensors"]
    )
    assert str(run) not in json.dumps([record["checksums"] for record in records])


def test_a_finished_run_is_read_again_and_a_student_can_be_added(run, monkeypatch, capsys):
    before = {name: (run / name / "scores.txt").read_bytes() for name in STUDENTS}
    checkpoints = {
        p: p.stat().st_mtime_ns for p in (run / "audio_only" / "checkpoints").rglob("*") if p.is_file()
    }
    assert train(run, monkeypatch, "--train", "audio_only text_control") == 0
    table = capsys.readouterr().out
    assert "Control: every speaker is given another speaker's teacher." in table
    assert any(line.startswith("text_control  ") for line in table.splitlines())
    assert (run / "audio_only" / "scores.txt").read_bytes() == before["audio_only"]
    assert checkpoints
    assert all(p.stat().st_mtime_ns == then for p, then in checkpoints.items())  # not trained again
    assert (run / "text_control" / "scores.txt").read_bytes() != before["text"]


def test_an_unknown_student_and_another_corpus_are_refused(run, monkeypatch, capsys):
    assert train(run, monkeypatch, "--train", "audio_only texts") == 2
    assert "some of audio_only, text," in capsys.readouterr().err
    assert (
        train(run.with_name("other"), monkeypatch, "--data_folder", str(run / "corpus"), "--corpus_seed", "2")
        == 3
    )
    assert "another corpus" in capsys.readouterr().err


def test_a_mistake_can_be_corrected_in_the_same_folder(tmp_path, monkeypatch, capsys):
    sizes = ("--train", "audio_only", "--text_teacher", "-1")
    assert train(tmp_path, monkeypatch, *sizes) == 3
    assert "bad value of 'text_teacher'" in capsys.readouterr().err
    assert train(tmp_path, monkeypatch, "--training_speakers", "3") == 2
    assert train(tmp_path, monkeypatch, "--students", "abc") == 2
    assert train(tmp_path, monkeypatch, "--students", "{audio_only: {text_techer: 0}}", "--train", "all") == 2
    for name in ("../evil", "corpus"):
        assert train(tmp_path, monkeypatch, "--students", f"{{{name}: {{}}}}", "--train", name) == 2
        assert f"none of cache, corpus, teachers, found '{name}'" in capsys.readouterr().err
    assert not (tmp_path / "corpus").exists()
    one = ("--train", "audio_only", "--cache_folder", "")
    assert train(tmp_path, monkeypatch, *one, "--batch_size", "5000") == 3
    assert train(tmp_path, monkeypatch, *one) == 0
    assert not (tmp_path / "cache").exists()
