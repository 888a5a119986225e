"""docs/exports.md: every command and every piece of Python in it is run, in the order of the page."""

import itertools
import json
import re
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import soundfile
from typer.testing import CliRunner

from cmd_speaker.cli import app
from cmd_speaker.embeddings import Embeddings, load_embeddings, save_embeddings
from cmd_speaker.model import SpeakerModel
from tests.exports import FIGURES, difference, in_a_process, recording, small_model

pytestmark = pytest.mark.second_stage
PAGE = Path(__file__).resolve().parents[2] / "docs" / "exports.md"
BLOCKS = re.findall(
    r"^```(bash|python)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with what the page speaks of: MODEL, CORPUS, recordings and results of the model's run."""
    folder = tmp_path_factory.mktemp("page")
    model = small_model(folder / "MODEL", "xvector")
    rows = []
    for speaker, pitch in (("s1", 110), ("s2", 170), ("s3", 240)):
        for k in range(2):
            wav = folder / "CORPUS" / f"{speaker}-{k}.wav"
            wav.parent.mkdir(exist_ok=True)
            soundfile.write(wav, recording(pitch + k, 1.0), 16000)
            rows.append(f"{speaker}-{k},1.0,$data_root/{wav.name},,,{speaker}\n")
    (folder / "train.csv").write_text("ID,duration,wav,start,stop,spk_id\n" + "".join(rows))
    wavs = sorted((folder / "CORPUS").iterdir())
    vectors = np.stack([model.embed(wav) for wav in wavs])
    save_embeddings(
        folder / "valid.npz", Embeddings([wav.stem for wav in wavs], vectors, model=model.checksum)
    )
    pairs = itertools.combinations([wav.stem for wav in wavs], 2)
    (folder / "valid_trials.txt").write_text("".join(f"{int(a[:2] == b[:2])} {a} {b}\n" for a, b in pairs))
    for name in ("a.wav", "b.wav"):
        soundfile.write(folder / name, recording(110 + ord(name[0]), 1.2), 16000)
    vectors = Embeddings(["x"], np.ones((1, 24), np.float32), model=model.checksum)
    save_embeddings(folder / "embeddings.npz", vectors)
    (folder / "results.json").write_text(json.dumps({"test_trials.txt": FIGURES}))
    return folder


def test_every_block_of_the_page_runs(place, monkeypatch):
    monkeypatch.chdir(place)
    commands = 0
    for kind, text in BLOCKS:
        if kind == "python":
            in_a_process(place, "-c", text)
            continue
        for line in text.splitlines():
            program, *arguments = line.split()
            if program == "pytest":
                # The table is the other tests of this stage.
                assert arguments[-1] == "tests/second_stage/test_export_clients.py"
                continue
            if program == "pip":
                # In CI the extra was installed in this way, within `dev`.
                assert arguments == ["install", "'cmd-speaker[export]'"]
                continue
            assert program == "cmd-speaker"
            done = CliRunner().invoke(app, arguments, catch_exceptions=False)
            assert done.exit_code == 0
            commands += 1
            if arguments[0] == "calibrate":
                assert re.search(r"threshold at prior .*: LLR [-\d.]+, score [-\d.]+", done.stdout)
    assert commands == 11
    model = SpeakerModel.load(place / "MODEL")
    session = onnxruntime.InferenceSession(place / "model.onnx")
    samples = soundfile.read(place / "a.wav", dtype="float32")[0]
    assert difference(session.run(["embs"], {"waveforms": samples[None]})[0][0], model, samples) <= 1e-4
    assert "7.07% (6.08% to 8.06%)" in (place / "README.md").read_text()
    assert (place / "README.md").read_text() != (place / "speechbrain" / "README.md").read_text()
    first, again = load_embeddings(place / "train.npz"), load_embeddings(place / "again.npz")
    assert again.ids == first.ids == [f"s{speaker}-{k}" for speaker in (1, 2, 3) for k in (0, 1)]
    assert np.array_equal(again.vectors, first.vectors)
    assert np.array_equal(load_embeddings(place / "train.safetensors").vectors, first.vectors)
