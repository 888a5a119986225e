"""docs/exports.md: every command and every piece of Python in it is run, in the order of the page."""

import json
import re
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import soundfile

from cmd_speaker.embeddings import Embeddings, load_embeddings, save_embeddings
from cmd_speaker.model import SpeakerModel
from tests.exports import FIGURES, difference, in_a_process, recording, small_model

pytestmark = pytest.mark.second_stage
PAGE = Path(__file__).resolve().parents[2] / "docs" / "exports.md"
BLOCKS = re.findall(
    r"^```(bash|python)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
)
COMMAND = "from cmd_speaker.cli import main; main()"


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
    for name in ("a.wav", "b.wav"):
        soundfile.write(folder / name, recording(110 + ord(name[0]), 1.2), 16000)
    vectors = Embeddings(["x"], np.ones((1, 24), np.float32), model=model.checksum)
    save_embeddings(folder / "embeddings.npz", vectors)
    (folder / "results.json").write_text(json.dumps({"test_trials.txt": FIGURES}))
    return folder


def test_every_block_of_the_page_runs(place):
    commands = 0
    for kind, text in BLOCKS:
        if kind == "python":
            in_a_process(place, "-c", text)
            continue
        for line in text.splitlines():
            program, *arguments = line.split()
            if program == "pip":
                # In CI the extra was installed in this way, within `dev`.
                assert arguments == ["install", "'cmd-speaker[export]'"]
                continue
            assert program == "cmd-speaker"
            in_a_process(place, "-c", COMMAND, *arguments)
            commands += 1
    assert commands == 9
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
