"""The command line, in one process: what it prints, writes and returns for good and bad input."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile

import cmd_speaker.cli
from cmd_speaker.embeddings import load_embeddings


@pytest.fixture(scope="module")
def model(trained):
    return trained / "model"


@pytest.fixture
def audio(tiny_speechocean, tmp_path):
    """A folder with two good files."""
    folder = tmp_path / "audio"
    folder.mkdir()
    for name in ("910100000", "910100001"):
        shutil.copy(next(tiny_speechocean().rglob(f"{name}.WAV")), folder / f"{name}.wav")
    return folder


def break_audio(folder):
    """One file of every bad kind beside the good ones; name -> what the error must say."""
    samples, rate = soundfile.read(folder / "910100000.wav", dtype="float32")
    good = (folder / "910100000.wav").read_bytes()
    (folder / "empty.wav").touch()
    (folder / "truncated.wav").write_bytes(good[: len(good) // 2])
    (folder / "text.wav").write_text("this is not audio\n" * 100)
    soundfile.write(folder / "stereo.wav", np.stack([samples, samples], 1), rate)
    soundfile.write(folder / "rate8.wav", samples, 8000)
    soundfile.write(folder / "rate48.wav", samples, 48000)
    soundfile.write(
        folder / "nan.wav", np.where(np.arange(len(samples)) == 9, np.nan, samples), rate, "FLOAT"
    )
    soundfile.write(folder / "silent.wav", np.zeros(16000), rate)
    soundfile.write(folder / "short.wav", samples[:320], rate)
    soundfile.write(folder / "huge.wav", samples * 1e30, rate, "FLOAT")
    return {
        "empty.wav": "empty", "truncated.wav": "truncated", "text.wav": "not readable", "stereo.wav": "2 channels",
        "rate8.wav": "8000 Hz", "rate48.wav": "48000 Hz", "nan.wav": "not finite", "silent.wav": "silent",
        "short.wav": "0.020 s", "huge.wav": "not finite",
    }  # fmt: skip


def test_every_bad_file_is_named_and_the_rest_is_done(cli, model, audio, tmp_path):
    bad = break_audio(audio)
    code, _, err = cli("embed", model, audio, "--out", tmp_path / "e.npz")
    assert code == 3
    lines = err.splitlines()
    for name, problem in bad.items():
        assert any(name in line and problem in line for line in lines), (name, err)
    assert "2 embeddings of 12 utterances" in err
    written = load_embeddings(tmp_path / "e.npz")
    assert written.ids == ["910100000.wav", "910100001.wav"]
    assert written.model == json.loads((model / "model.json").read_text())["checksum"]


def test_bad_files_of_a_manifest_are_named_with_their_row(cli, model, audio, tmp_path):
    (audio / "empty.wav").touch()
    manifest = tmp_path / "m.csv"
    rows = ["ID,duration,wav,start,stop,spk_id"]
    for name in ("910100000", "empty", "missing", "910100001"):
        path = audio / f"{name}.wav"
        seconds = soundfile.info(path).duration if name.startswith("9") else 1.0
        rows.append(f"{name},{seconds},$data_root/{name}.wav,,,s")
    manifest.write_text("\n".join(rows) + "\n")
    code, _, err = cli("embed", model, manifest, "--out", tmp_path / "e.safetensors", "--data-root", audio)
    assert code == 3
    assert "m.csv, row 3" in err
    assert "m.csv, row 4" in err
    assert load_embeddings(tmp_path / "e.safetensors").ids == ["910100000", "910100001"]


def test_a_wrong_root_is_one_error(cli, trained, model, tmp_path):
    manifest = trained / "manifests" / "test.csv"
    code, _, err = cli("embed", model, manifest, "--out", tmp_path / "e.npz", "--data-root", tmp_path)
    assert code == 3
    assert "none of the 16 audio files exists" in err
    assert f"data root {tmp_path}" in err
    assert len(err.splitlines()) == 1
    code, _, err = cli("embed", model, manifest, "--out", tmp_path / "e.npz")
    assert code == 3
    assert "--data-root" in err


def test_a_device_that_is_not_there(cli, model, audio, tmp_path):
    code, _, err = cli("embed", model, audio, "--out", tmp_path / "e.npz", "--device", "cuda:93")
    assert code == 2
    assert "cuda:93" in err


def test_convert_embeds_other_forms(cli, model, audio, tmp_path):
    bad = break_audio(audio)
    _, _, err = cli("embed", model, audio, "--out", tmp_path / "e.npz", "--convert")
    assert {"stereo.wav", "rate8.wav", "rate48.wav"} <= set(load_embeddings(tmp_path / "e.npz").ids)
    assert all(name in err for name in set(bad) - {"stereo.wav", "rate8.wav", "rate48.wav"})


def test_inputs_of_every_kind(cli, model, audio, tmp_path):
    (tmp_path / "wav.scp").write_text("a 910100000.wav\nb 910100001.wav\n")
    for inputs, ids in (
        ([tmp_path / "wav.scp", "--data-root", audio], ["a", "b"]),
        ([audio], ["910100000.wav", "910100001.wav"]),
        ([audio / "*0.wav"], [str(audio / "910100000.wav")]),
        ([audio / "910100001.wav"], [str(audio / "910100001.wav")]),
    ):
        code, _, err = cli("embed", model, *inputs, "--out", tmp_path / "e.npz")
        assert (code, load_embeddings(tmp_path / "e.npz").ids) == (0, ids), err


def test_embed_score_evaluate(cli, trained, model, tiny_speechocean, tmp_path):
    manifests = trained / "manifests"
    code, _, _ = cli(
        "embed", model, manifests / "test.csv", "--data-root", tiny_speechocean(), "--out", tmp_path / "e.npz"
    )
    assert code == 0
    code, _, _ = cli("score", tmp_path / "e.npz", manifests / "test_trials.txt", "--out", tmp_path / "s.txt")
    assert code == 0
    assert (tmp_path / "s.txt").read_text() == (trained / "scores.txt").read_text()
    code, out, err = cli("evaluate", tmp_path / "s.txt", "--speakers", manifests / "test.csv", "--json")
    result = json.loads(out)
    stored = json.loads((trained / "results.json").read_text())["test_trials.txt"]
    assert result["eer"] == pytest.approx(stored["eer"], abs=1e-6)
    assert 0 <= result["eer_low"] <= result["eer"] <= result["eer_high"] <= 1
    assert "only 4 speakers" in err


def test_no_speakers_no_interval(cli, trained):
    code, out, err = cli("evaluate", trained / "scores.txt", "--json")
    assert code == 0
    assert json.loads(out)["eer_low"] is None
    assert "No interval" in err


def test_several_systems_are_compared(cli, trained, tmp_path):
    perfect = tmp_path / "perfect.txt"
    lines = [line.split() for line in (trained / "scores.txt").read_text().splitlines()]
    perfect.write_text("".join(f"{a} {b} {label}.5 {label}\n" for a, b, _, label in lines))
    speakers = trained / "manifests" / "test.csv"
    code, out, _ = cli("evaluate", trained / "scores.txt", perfect, "--speakers", speakers, "--json")
    assert code == 0
    first, second = json.loads(out)
    difference = second["eer_difference"]
    assert (second["eer"], difference["difference"]) == (0, -first["eer"])
    assert difference["low"] <= difference["difference"] <= difference["high"]
    code, out, _ = cli("evaluate", trained / "scores.txt", perfect, "--speakers", speakers)
    assert f"points lower than that of {first['name']}" in out


def test_an_unknown_utterance_is_named_and_the_rest_is_scored(cli, trained, tmp_path):
    trials = tmp_path / "trials.txt"
    trials.write_text("1 910100000 910100001\n0 910100000 nobody\n0 910100000 910200001\n")
    code, _, err = cli("score", trained / "embeddings.npz", trials, "--out", tmp_path / "s.txt")
    assert code == 3
    assert "trials.txt, row 2" in err
    assert "nobody" in err
    assert len((tmp_path / "s.txt").read_text().splitlines()) == 2


def test_one_class_has_no_eer(cli, trained, tmp_path):
    (tmp_path / "s.txt").write_text("a b 0.5 target\na c 0.4 target\n")
    code, _, err = cli("evaluate", tmp_path / "s.txt")
    assert code == 3
    assert "nontarget" in err


def test_a_trial_without_score(cli, trained, tmp_path):
    (tmp_path / "s.txt").write_text("910100000 910100001 0.5\n")
    code, _, err = cli("evaluate", tmp_path / "s.txt", "--trials", trained / "manifests" / "test_trials.txt")
    assert code == 3
    assert "test_trials.txt, row" in err


def test_verify(cli, model, audio):
    a, b = audio / "910100000.wav", audio / "910100001.wav"
    code, out, _ = cli("verify", model, a, a, "--json")
    assert (code, json.loads(out)["same_speaker"]) == (0, None)
    assert json.loads(out)["score"] == pytest.approx(1, abs=1e-6)
    assert cli("verify", model, a, a, "--threshold", "0.99")[0] == 0
    code, out, _ = cli("verify", model, a, b, "--threshold", "1.0")
    assert code == 1
    assert "different speakers" in out
    code, _, err = cli("verify", model, a, audio / "missing.wav")
    assert code == 3
    assert "missing.wav" in err


def test_info(cli, model):
    code, out, _ = cli("info", model, "--json")
    description = json.loads(out)
    assert code == 0
    assert description["front_end"]["name"] == "kaldi_fbank"
    assert description["provenance"]["hyperparameters"]["seed"] == "1"
    assert "passed" in cli("info", model)[1]


def test_a_changed_model_is_refused(cli, model, audio, tmp_path):
    shutil.copytree(model, tmp_path / "model")
    content = bytearray((tmp_path / "model" / "model.safetensors").read_bytes())
    content[-5] ^= 1
    (tmp_path / "model" / "model.safetensors").write_bytes(content)
    code, _, err = cli("embed", tmp_path / "model", audio, "--out", tmp_path / "e.npz")
    assert code == 3
    assert "model.safetensors" in err


def test_check_data(cli, tiny_speechocean, tmp_path):
    code, out, _ = cli("check-data", "speechocean762", tiny_speechocean(), "--json")
    assert code == 0
    assert json.loads(out)
    code, _, err = cli("check-data", "speechocean763", tiny_speechocean())
    assert code == 2
    assert "speechocean762" in err
    corpus = tmp_path / "corpus"
    shutil.copytree(tiny_speechocean(), corpus)
    next(corpus.rglob("*.WAV")).write_bytes(b"")
    code, out, err = cli("check-data", "speechocean762", corpus)
    assert code == 3
    assert "PROBLEM" in out
    assert "problems" in err


def test_wrong_calls(cli, model, audio, tmp_path):
    assert cli("embed", model)[0] == 2
    assert cli("nonsense")[0] == 2
    code, _, err = cli("embed", model, audio, "--out", tmp_path / "e.txt")
    assert code in (2, 3)
    assert ".npz" in err


def test_a_fault_of_the_program_is_no_decision(monkeypatch, capsys):
    """Python leaves with 1 then, which means "not the same speaker"."""
    monkeypatch.setattr(cmd_speaker.cli, "app", lambda: 1 / 0)
    with pytest.raises(SystemExit) as left:
        cmd_speaker.cli.main()
    assert left.value.code == 4
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_help_needs_no_heavy_import():
    """What would make `--help` slow is importing torch."""
    code = (
        "import sys, cmd_speaker.cli as c\n"
        "try: c.app(['--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('torch', 'speechbrain', 'scipy', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "check-data" in done.stdout
