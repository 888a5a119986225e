"""`cmd-speaker quality`: columns added once, and what happens to rows that cannot be measured."""

import csv

import numpy as np
import pytest
import soundfile
from PIL import Image

from cmd_speaker.audio import read_audio
from cmd_speaker.manifest import load_manifest, write_manifest
from cmd_speaker.quality import image, speech
from cmd_speaker.quality.columns import measure_speech
from cmd_speaker.teachers.pictures import read_picture
from tests.conftest import voice

SPEECH = list(speech.MEASURES)


@pytest.fixture
def corpus(tmp_path):
    """Four recordings; of the two speakers one has a picture of their own and a folder of two, one has none."""
    root = tmp_path / "corpus"
    (root / "faces" / "s1").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("faces/one.png", "faces/s1/1.png", "faces/s1/2.png"):
        size = (30, 20) if name.startswith("faces/s1") else (40, 50)
        Image.fromarray(rng.integers(0, 255, (*size, 3), np.uint8)).save(root / name)
    faces = ("$data_root/faces/one.png", "$data_root/faces/s1", "$data_root/faces/s1", "")
    texts = ("A woman, small.", "A woman, small.", "", "A man.")
    rows = []
    for k, (face, text) in enumerate(zip(faces, texts, strict=True)):
        samples = voice(120, 1.0, 0.8, np.random.default_rng(k))
        soundfile.write(root / f"{k}.wav", samples, 16000)
        place = (f"u{k}", 0.8, f"$data_root/{k}.wav", "", "", "s2" if k == 3 else "s1")
        rows.append((*place, text, face, "as, it is"))
    write_manifest(root / "train.csv", ("text", "face", "note"), rows)
    return root


def measure(cli, corpus, out, *more):
    return cli("quality", corpus / "train.csv", "--out", out, "--data-root", corpus, *more)


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_measure_that_applies(cli, corpus, tmp_path):
    code, _, err = measure(cli, corpus, tmp_path / "new" / "m.csv")
    assert (code, err) == (0, f"{tmp_path}/new/m.csv: {', '.join(SPEECH)}, face_sharpness, face_size, text_words "
                              "of 4 of 4 rows\n")  # fmt: skip
    before, after = rows_of(corpus / "train.csv"), rows_of(tmp_path / "new" / "m.csv")
    assert [{name: row[name] for name in before[0]} for row in after] == before, (
        "what was there stays as it was"
    )
    for k, row in enumerate(after):
        expected = measure_speech(read_audio(corpus / f"{k}.wav"), SPEECH)
        assert {name: float(row[name]) for name in SPEECH} == pytest.approx(expected, rel=1e-4)
    assert [row["text_words"] for row in after] == ["3", "3", "", "2"]
    assert [row["face_size"] for row in after] == ["40", "20", "20", ""]
    of_folder = [image.sharpness(read_picture(corpus / "faces" / "s1" / f"{k}.png")) for k in (1, 2)]
    assert float(after[1]["face_sharpness"]) == pytest.approx(np.mean(of_folder), rel=1e-4)
    assert len(load_manifest(tmp_path / "new" / "m.csv", corpus)) == 4


def test_chosen_measures_only_and_again(cli, corpus, tmp_path):
    measure(cli, corpus, tmp_path / "one.csv", "--measure", "level", "--measure", "text_words")
    header = (tmp_path / "one.csv").read_text().splitlines()[0]
    assert header.endswith("note,level,text_words")
    soundfile.write(corpus / "0.wav", 0.1 * voice(120, 1.0, 0.8, np.random.default_rng(0)), 16000)
    code, _, _ = cli(
        "quality",
        tmp_path / "one.csv",
        "--out",
        tmp_path / "two.csv",
        "--data-root",
        corpus,
        "--measure",
        "level",
    )
    assert code == 0
    one, two = rows_of(tmp_path / "one.csv"), rows_of(tmp_path / "two.csv")
    assert (tmp_path / "two.csv").read_text().splitlines()[0] == header
    assert float(two[0]["level"]) == pytest.approx(float(one[0]["level"]) - 20, abs=0.1), "measured anew"
    assert two[1:] == one[1:]


def test_texts_need_no_audio(cli, corpus, tmp_path):
    (corpus / "1.wav").unlink()
    assert measure(cli, corpus, tmp_path / "m.csv", "--measure", "text_words")[0] == 0


def test_bad_rows_are_named_and_the_good_ones_kept(cli, corpus, tmp_path):
    (corpus / "0.wav").unlink()
    soundfile.write(corpus / "3.wav", np.full(12800, np.nan), 16000, "FLOAT")
    code, _, err = measure(cli, corpus, tmp_path / "m.csv")
    assert code == 3
    assert "2 of 4 rows" in err
    assert "2 rows left out" in err
    assert f"train.csv, row 2: {corpus}/0.wav: no such audio file" in err
    assert f"train.csv, row 5: {corpus}/3.wav: " in err
    assert "12800 NaN or infinite samples" in err
    assert [row["ID"] for row in rows_of(tmp_path / "m.csv")] == ["u1", "u2"]


def test_a_bad_picture_is_named_with_each_row_that_needs_it(cli, corpus, tmp_path):
    (corpus / "faces" / "s1" / "2.png").write_bytes(b"no picture")
    code, _, err = measure(cli, corpus, tmp_path / "m.csv")
    assert code == 3
    for row in (3, 4):
        assert f"train.csv, row {row}: {corpus}/faces/s1/2.png: not readable as a picture" in err
    assert [row["ID"] for row in rows_of(tmp_path / "m.csv")] == ["u0", "u3"]


def test_nothing_is_written_over_what_is_read(cli, corpus):
    before = (corpus / "train.csv").read_bytes()
    code, _, err = measure(cli, corpus, corpus / "train.csv")
    assert code == 2
    assert "would be overwritten" in err
    assert (corpus / "train.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--measure", "snrr"], 2, "expected snr, clipping, level, speech_seconds, face_sharpness,"),
        (["--measure", "detector_probability"], 2, "found 'detector_probability'"),
        (["--measure", "text_words"], 3, "the manifest has no column 'text'"),
        (["--data-root", "/nowhere"], 3, "none of 4 rows can be measured"),
    ],
)  # fmt: skip
def test_mistakes_are_named(cli, corpus, tmp_path, options, code, message):
    rows = [[*list(row.values())[:6], row["face"]] for row in rows_of(corpus / "train.csv")]
    write_manifest(corpus / "train.csv", ("face",), rows)
    found, _, err = measure(cli, corpus, tmp_path / "m.csv", *options)
    assert found == code
    assert message in err
    assert not (tmp_path / "m.csv").exists()


def test_help_says_what_is_measured(cli):
    code, out, _ = cli("quality", "--help")
    assert code == 0
    for part in ("snr: speech above its noise floor", "face_size: shorter side of the picture, pixels"):
        assert part in out
