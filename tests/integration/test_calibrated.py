"""From embeddings to decisions on the command line: score, calibrate, verify, enroll, identify, forget."""

import json
import shutil
from dataclasses import asdict

import numpy as np
import pytest
import torch

from cmd_speaker.cli.decide import find_rule
from cmd_speaker.embeddings import load_embeddings, save_embeddings
from cmd_speaker.encoder import SpeakerEncoder
from cmd_speaker.errors import UsageError
from cmd_speaker.evaluation.operating_point import OperatingPoint
from cmd_speaker.features import KaldiFbank
from cmd_speaker.lists.scores import load_scores
from cmd_speaker.model import SpeakerModel
from cmd_speaker.scoring.record import load_record
from cmd_speaker.students import EcapaTdnn
from tests.conftest import voice, write_audio

SPEAKERS, EACH = 12, 4
DEV, TEST = range(6), range(6, 9)  # the last three are the cohort


def make_model(folder, seed):
    torch.manual_seed(seed)
    encoder = SpeakerEncoder(KaldiFbank(), EcapaTdnn(width=16, embedding_size=24))
    with torch.no_grad():  # move the running statistics away from their start
        for _ in range(3):
            encoder.train().student(encoder.features(0.1 * torch.randn(8, 8000)))
    SpeakerModel(encoder).save(folder)
    return folder


def write_trials(path, speakers):
    ids = [(f"s{speaker}_{k}", speaker) for speaker in speakers for k in range(EACH)]
    pairs = [(a, b) for place, a in enumerate(ids) for b in ids[:place]]
    path.write_text("".join(f"{int(a[1] == b[1])} {a[0]} {b[0]}\n" for a, b in pairs))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with two models, audio, its manifest, that of the cohort, and trial lists."""
    folder = tmp_path_factory.mktemp("calibrated")
    model = SpeakerModel.load(make_model(folder / "model", 0))
    make_model(folder / "other", 1)
    rows, vectors = ["ID,duration,wav,start,stop,spk_id"], {}
    for speaker in range(SPEAKERS):
        for k in range(EACH):
            rng = np.random.default_rng(100 * speaker + k)
            samples = voice(90 + 18 * speaker, 1.05 - 0.03 * speaker, rng.uniform(0.6, 2), rng)
            wav = folder / f"s{speaker}_{k}.wav"
            write_audio(wav, samples)
            rows.append(f"{wav.stem},{len(samples) / 16000},$data_root/{wav.name},,,s{speaker}")
            vectors[wav.stem] = model.embed(wav)
    (folder / "m.csv").write_text("\n".join(rows) + "\n")
    (folder / "cohort.csv").write_text("\n".join([rows[0], *rows[-3 * EACH :]]) + "\n")
    write_trials(folder / "dev.txt", DEV)
    write_trials(folder / "test.txt", TEST)
    return folder


@pytest.fixture
def here(made, tmp_path, cli, monkeypatch):
    """A copy of it as the working directory, with embeddings and plain scores of both lists."""
    folder = shutil.copytree(made, tmp_path / "here")
    monkeypatch.chdir(folder)
    for name in ("m", "cohort"):
        assert cli("embed", "model", f"{name}.csv", "--data-root", ".", "--out", f"{name}.npz")[0] == 0
    for name in ("dev", "test"):
        assert cli("score", "m.npz", f"{name}.txt", "--out", f"{name}.scores")[0] == 0
    return folder


def rewrite(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_calibrate_says_what_it_fitted(here, cli):
    code, out, err = cli("calibrate", "dev.scores", "--out", "c.json", "--metadata", "m.csv", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["origin"]["targets"] == 6 * 6
    assert found["origin"]["speakers"] == 6
    assert found["origin"]["trials"]["name"] == "dev.txt"
    assert found["origin"]["model"] == SpeakerModel.load("model").checksum
    assert found["min_cllr"] <= found["cllr_after"] < found["cllr_before"]
    for threshold in found["thresholds"]:
        assert threshold["llr"] == pytest.approx(np.log((1 - threshold["p_target"]) / threshold["p_target"]))
        assert found["slope"] * threshold["score"] + found["offset"] == pytest.approx(threshold["llr"])
    code, out, err = cli("calibrate", "dev.scores", "--out", "c.json")
    assert f"LLR = {found['slope']:.6g} * score {found['offset']:+.6g}" in out
    assert "threshold at prior 0.01: LLR 4.5951, score" in out
    assert err.splitlines() == ["c.json"]


def test_labels_from_a_list(here, cli):
    scores = here / "dev.scores"
    scores.write_text("".join(f"{line.rsplit(' ', 1)[0]}\n" for line in scores.read_text().splitlines()))
    (here / "dev.scores.json").unlink()
    code, _, err = cli("calibrate", scores, "--out", "c.json")
    assert (code, "no labels" in err) == (3, True)
    code, _, err = cli("calibrate", scores, "--trials", "dev.txt", "--out", "c.json")
    assert (code, "no record" in err) == (0, True)


def test_scores_become_llrs(here, cli):
    cli("calibrate", "dev.scores", "--out", "c.json")
    code, _, err = cli("score", "m.npz", "test.txt", "--out", "test.llr", "--calibration", "c.json")
    assert (code, err.splitlines()) == (0, ["test.llr: 66 of 66 trials"])
    fit = json.loads((here / "c.json").read_text())
    plain, llr = load_scores("test.scores"), load_scores("test.llr")
    np.testing.assert_allclose(llr.scores, fit["slope"] * plain.scores + fit["offset"], rtol=0, atol=1e-6)
    assert load_record("test.llr")["calibration"]["slope"] == fit["slope"]
    code, _, err = cli("calibrate", "test.llr", "--out", "again.json")
    assert (code, "calibrated already" in err) == (3, True)


def test_the_list_of_the_fit_is_shouted_at(here, cli):
    cli("calibrate", "dev.scores", "--out", "c.json")
    _, _, err = cli("score", "m.npz", "dev.txt", "--out", "dev.llr", "--calibration", "c.json")
    assert "the very list" in err


def test_a_calibration_of_another_back_end_or_model_is_refused(here, cli):
    cli("calibrate", "dev.scores", "--out", "c.json")
    normalised = ["--cohort", "cohort.npz", "--norm", "s"]
    code, _, err = cli("score", "m.npz", "test.txt", "--out", "x", "--calibration", "c.json", *normalised)
    assert code == 3
    assert "norm none" in err
    assert "norm s" in err
    assert not (here / "x").exists()
    other = load_embeddings("m.npz")
    other.model = SpeakerModel.load("other").checksum
    save_embeddings("other.npz", other)
    code, _, err = cli("score", "other.npz", "test.txt", "--out", "x", "--calibration", "c.json")
    assert (code, "another model" in err) == (3, True)
    code, _, err = cli("calibrate", "dev.scores", "--into", "other")
    assert (code, "another model" in err) == (3, True)
    assert not (here / "other" / "calibration.json").exists()


def test_verify_uses_the_very_score_that_was_calibrated(here, cli):
    """Mean, AS-norm, three quality measures: one pair by verify, the same pair in a list."""
    backend = ["--mean-from", "cohort.npz", "--cohort", "cohort.npz", "--norm", "as", "--top", "5"]
    tables = ["--metadata", "m.csv", "--metadata", "q.csv"]
    qualities = [word for column in ("duration", "norm", "cohort_mean") for word in ("--quality", column)]
    code, _, err = cli(
        "score", "m.npz", "dev.txt", "--out", "as", *backend, "--qualities", "q.csv", "--save-backend", "kept"
    )
    assert code == 0, err
    code, _, err = cli("calibrate", "as", "--into", "model", *tables, *qualities)
    assert (code, "--save-backend" in err) == (3, True)
    code, _, err = cli("calibrate", "as", "--into", "model", *tables, *qualities, "--backend", "kept")
    assert code == 0, err
    cli("calibrate", "as", "--out", "c.json", *tables, *qualities)
    cli("score", "m.npz", "dev.txt", "--out", "llr", *backend, "--calibration", "c.json", *tables)
    listed, llrs = load_scores("as"), load_scores("llr")
    for k in (0, 40, 200):
        enrol, test = (f"{name}.wav" for name in listed.trials.pair(k))
        code, out, err = cli("verify", "model", enrol, test, "--json")
        found = json.loads(out)
        assert found["score"] == pytest.approx(listed.scores[k], abs=1e-5)
        assert found["llr"] == pytest.approx(llrs.scores[k], abs=1e-4)
        assert found["same_speaker"] == (found["llr"] >= found["threshold"])
        assert code == 1 - found["same_speaker"]
    described = json.loads(cli("info", "model", "--json")[1])
    assert described["calibration"]["prior"] == 0.01
    assert described["backend"]["norm"] == "as"
    assert "fitted on as (SHA-256" in cli("info", "model")[1]


def test_the_operating_point_decides(here, cli):
    cli("calibrate", "dev.scores", "--into", "model", "--prior", "0.3")
    pair = ["verify", "model", "s7_0.wav", "s7_1.wav", "--json"]
    found = json.loads(cli(*pair)[1])
    assert found["threshold"] == pytest.approx(np.log(0.7 / 0.3))
    assert found["point"] == {"p_target": 0.3, "c_miss": 1.0, "c_fa": 1.0}
    verified = asdict(SpeakerModel.load("model").verify("s7_0.wav", "s7_1.wav"))
    assert {name: found[name] for name in ("score", "llr", "threshold", "same_speaker")} == {
        name: verified[name] for name in ("score", "llr", "threshold", "same_speaker")
    }
    strict = SpeakerModel.load("model").verify("s7_0.wav", "s7_1.wav", point=OperatingPoint(0.5, 1, 1e9))
    assert (strict.llr, strict.same_speaker) == (found["llr"], False)
    code, out, _ = cli(*pair, "--point", "0.5,1e9,1")
    assert (code, json.loads(out)["threshold"]) == (0, pytest.approx(-np.log(1e9)))
    assert cli(*pair, "--point", "0.5,1,1e9")[0] == 1
    raw = json.loads(cli(*pair, "--threshold", "-1")[1])
    assert (raw["threshold"], raw["point"], raw["same_speaker"]) == (-1, None, True)
    for wrong in (
        ["--point", "0.5,1"],
        ["--point", "x"],
        ["--point", "1"],
        ["--point", "0.5", "--threshold", "0"],
    ):
        assert cli(*pair, *wrong)[0] == 2
    assert "different speakers" in cli(*pair[:-1], "--point", "0.5,1,1e9")[1]


def test_uncalibrated_is_said_and_decides_nothing(here, cli):
    code, out, err = cli("verify", "model", "s7_0.wav", "s7_1.wav", "--json")
    assert (code, "uncalibrated" in err) == (0, True)
    assert json.loads(out) == {
        "score": pytest.approx(SpeakerModel.load("model").similarity("s7_0.wav", "s7_1.wav"), abs=1e-6),
        "llr": None, "threshold": None, "point": None, "same_speaker": None,
    }  # fmt: skip
    assert cli("verify", "model", "s7_0.wav", "s7_1.wav", "--point", "0.5")[0] == 2


def test_a_damaged_calibration_is_named(here, cli):
    cli("calibrate", "dev.scores", "--into", "model")
    rewrite(here / "model" / "calibration.json", lambda content: content.update(slope=99.0))
    for command in (["verify", "model", "s7_0.wav", "s7_1.wav"], ["info", "model"]):
        code, _, err = cli(*command)
        assert (code, "calibration.json" in err) == (3, True)
    assert SpeakerModel.load("model").embedding_size == 24


def enrol_three(cli, *more):
    for name, speaker in (("anna", 6), ("bert", 7), ("carl", 8)):
        code, _, err = cli("enroll", "reg", name, f"s{speaker}_0.wav", f"s{speaker}_1.wav", *more)
        assert code == 0, err


def test_identify(here, cli):
    enrol_three(cli, "--model", "model")
    code, out, err = cli("identify", "reg", "s7_2.wav", "--json")
    found = json.loads(out)
    assert (code, found["known"], found["name"], "uncalibrated" in err) == (0, None, None, True)
    assert {candidate["name"] for candidate in found["candidates"]} == {"anna", "bert", "carl"}
    cli("calibrate", "dev.scores", "--into", "model")
    code, out, _ = cli("identify", "reg", "s7_2.wav", "--point", "0.9,1e9,1", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["known"] is True
    assert found["name"] == found["candidates"][0]["name"]
    llrs = [candidate["llr"] for candidate in found["candidates"]]
    assert llrs == sorted(llrs, reverse=True)
    assert found["threshold"] == pytest.approx(np.log(0.1 / 0.9) - np.log(1e9) + np.log(3))
    code, out, _ = cli("identify", "reg", "s7_2.wav", "--point", "0.9,1,1e9")
    assert (code, out.startswith("nobody")) == (1, True)


def test_the_registrys_own_calibration_goes_first(here, cli):
    enrol_three(cli, "--model", "model")
    cli("calibrate", "dev.scores", "--into", "model")
    code, _, err = cli("calibrate", "dev.scores", "--into", "reg", "--prior", "0.5")
    assert code == 0, err
    assert json.loads(cli("identify", "reg", "s7_2.wav", "--json")[1])["point"]["p_target"] == 0.5


def test_the_model_may_move(here, cli):
    enrol_three(cli, "--model", "model")
    shutil.move("reg", "moved")
    shutil.move("model", "elsewhere")
    code, _, err = cli("identify", "moved", "s7_2.wav")
    assert (code, "--model" in err) == (3, True)
    assert cli("identify", "moved", "s7_2.wav", "--model", "elsewhere")[0] == 0
    code, _, err = cli("identify", "moved", "s7_2.wav", "--model", "other")
    assert (code, "belongs to another model" in err) == (3, True)
    assert cli("enroll", "moved", "dora", "s1_0.wav", "--model", "elsewhere")[0] == 0
    assert cli("identify", "moved", "s7_2.wav")[0] == 0


def test_what_can_be_enrolled_is(here, cli):
    code, _, err = cli("enroll", "reg", "anna", "s6_0.wav")
    assert (code, "--model" in err) == (2, True)
    code, _, err = cli("enroll", "reg", "anna", "s6_0.wav", "none.wav", "s6_0.wav", "--model", "model")
    assert code == 3
    assert "anna: 1 recordings" in err
    assert "none.wav" in err
    assert "enrolled already" in err
    code, _, err = cli("forget", "reg", "anna")
    assert (code, "0 speakers" in err) == (0, True)
    assert cli("forget", "reg", "anna")[0] == 3
    code, _, err = cli("identify", "reg", "s6_0.wav")
    assert (code, "nobody is enrolled" in err) == (3, True)


def test_wrong_calls(here, cli):
    for wrong in (
        ["calibrate", "dev.scores"],
        ["calibrate", "dev.scores", "--out", "c", "--into", "model"],
        ["calibrate", "dev.scores", "--out", "c", "--backend", "kept"],
        ["calibrate", "dev.scores", "--out", "c", "--quality", "duration"],
        ["calibrate", "dev.scores", "--out", "c", "--prior", "1"],
        ["calibrate", "dev.scores", "--out", "c", "--prior", "1e-300"],
        ["calibrate", "dev.scores", "--out", "dev.scores"],
        ["calibrate", "dev.scores", "--out", "dev.scores.json"],
        ["calibrate", "dev.scores", "--out", "dev.txt", "--trials", "dev.txt"],
        ["score", "m.npz", "dev.txt", "--out", "x", "--metadata", "m.csv"],
    ):
        code, _, err = cli(*wrong)
        assert code == 2, (wrong, err)
    code, _, err = cli("calibrate", "dev.scores", "--out", "c", "--quality", "snr", "--metadata", "m.csv")
    assert (code, "'snr'" in err, "m.csv" in err) == (3, True, True)
    code, _, err = cli(
        "calibrate", "dev.scores", "--out", "c", "--quality", "duration", "--metadata", "cohort.csv"
    )
    assert (code, "cohort.csv" in err) == (3, True)


@pytest.mark.parametrize("threshold", [float("nan"), float("inf")])
def test_a_threshold_is_a_finite_number(threshold):
    # Scores that are not cosines have no range of their own; nothing would ever be accepted.
    with pytest.raises(UsageError, match="expected a finite number"):
        find_rule(None, None, threshold)
