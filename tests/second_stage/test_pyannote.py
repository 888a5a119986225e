"""pyannote.audio with a student of ours: its contract for embeddings, and its diarisation pipeline."""

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from cmd_speaker.errors import DataError
from cmd_speaker.model import SpeakerModel
from tests.diarisation import (
    AGGLOMERATIVE,
    RATE,
    VBX,
    diarise,
    heard,
    local_plda,
    masked,
    segmentation_network,
    talk,
)
from tests.exports import small_model

pytestmark = pytest.mark.second_stage
DOCS = Path(__file__).resolve().parents[2] / "docs" / "pyannote.md"
SIZE = 24
TALK = talk()


@pytest.fixture(scope="module", autouse=True)
def pyannote():
    return pytest.importorskip("pyannote.audio")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with MODEL and talk.wav."""
    folder = tmp_path_factory.mktemp("pyannote")
    small_model(folder / "MODEL", "ecapa_tdnn")
    soundfile.write(folder / "talk.wav", TALK, RATE, subtype="FLOAT")
    return folder


@pytest.fixture(scope="module")
def model(folder):
    return SpeakerModel.load(folder / "MODEL")


@pytest.fixture(scope="module")
def embedding(folder):
    """pyannote's own wrapper around the model."""
    from pyannote.audio.pipelines.speaker_verification import PretrainedSpeakerEmbedding

    from cmd_speaker.export.pyannote import PyannoteSpeakerModel

    return PretrainedSpeakerEmbedding(PyannoteSpeakerModel.load(folder / "MODEL"))


def batch(*signals):
    return torch.from_numpy(np.stack(signals))[:, None]


def test_its_contract(embedding):
    assert (embedding.dimension, embedding.sample_rate, embedding.metric) == (SIZE, RATE, "cosine")
    # pyannote finds by trial what the shortest chunk is: 0.1 s.
    assert embedding.min_num_samples == 1600


@pytest.mark.parametrize("seconds", [0.1, 0.73, 3.0, 9.9])
def test_without_a_mask_and_with_one_of_ones_it_is_the_files_embedding(model, embedding, seconds):
    length = round(seconds * RATE)
    chunks = [TALK[:length], TALK[-length:]]
    expected = np.stack([model.embed(chunk) for chunk in chunks])
    np.testing.assert_allclose(embedding(batch(*chunks)), expected, atol=1e-5)
    ones = torch.ones(2, 17)
    np.testing.assert_allclose(embedding(batch(*chunks), masks=ones), expected, atol=1e-5)
    assert np.abs(expected).max() > 0.1


def test_a_mask_picks_frames(model, embedding):
    """Of 2 s, the second quarter and the last: frames 50 to 99 and 150 to 199, as if one followed another."""
    chunk = TALK[: 2 * RATE]
    mask = torch.tensor([[0.0, 1.0, 0.4, 0.6]])
    with torch.inference_mode():
        features = model.encoder.features(torch.from_numpy(chunk)[None])
        kept = torch.cat([features[:, 50:100], features[:, 150:]], dim=1)
        expected = model.encoder.student(kept - kept.mean(dim=1, keepdim=True))
    found = embedding(batch(chunk), masks=mask)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)
    assert np.abs(found - model.embed(chunk)).max() > 1e-3


def test_one_signal_has_many_speakers(embedding):
    chunks, masks = batch(TALK[:RATE], TALK[-RATE:]), torch.rand(2, 3, 50, generator=torch.manual_seed(2))
    together = embedding(chunks, masks=masks)
    assert together.shape == (2, 3, SIZE)
    for speaker in range(3):
        np.testing.assert_array_equal(together[:, speaker], embedding(chunks, masks=masks[:, speaker]))


def test_rows_with_too_little_speech_are_nan_and_harm_no_other(model, embedding):
    silent = np.concatenate([np.zeros(RATE, np.float32), TALK[:RATE]])
    masks = torch.zeros(4, 200)
    masks[0, :9] = masks[1, 100:] = masks[2, :100] = 1
    found = embedding(batch(silent, silent, silent, silent), masks=masks)
    # 0.09 s; a second of speech; one of digital silence; nothing at all.
    assert np.isnan(found).all(axis=1).tolist() == [True, False, True, True]
    assert not np.isnan(found[1]).any()
    short = batch(TALK[:1599])
    assert np.isnan(embedding(short, masks=torch.ones(1, 5))).all()
    with pytest.raises(DataError, match="too short"):
        embedding(short)


def test_other_shapes_are_refused(embedding):
    for waveforms, masks in (
        (torch.zeros(2, 1600), None),
        (torch.zeros(2, 2, 1600), None),
        (torch.zeros(2, 1, 1600), torch.ones(3, 5)),
        (torch.zeros(2, 1, 1600), torch.ones(5)),
        (torch.zeros(2, 1, 1600), torch.ones(2, 0)),
    ):
        with pytest.raises(DataError, match="shape"):
            embedding(waveforms, masks=masks)


def test_whole_files_through_its_inference(pyannote, model, embedding, folder):
    inference = pyannote.Inference(embedding.model_, window="whole")
    found = inference({"waveform": torch.from_numpy(TALK)[None], "sample_rate": RATE})
    np.testing.assert_allclose(found, model.embed(folder / "talk.wav"), atol=1e-5)
    assert found.shape == (SIZE,)


def test_windows_through_its_inference(pyannote, model, embedding):
    """pyannote's own default is to slide a window, here one every second."""
    inference = pyannote.Inference(embedding.model_, duration=3.0, step=1.0)
    found = inference({"waveform": torch.from_numpy(TALK)[None], "sample_rate": RATE})
    assert found.data.shape == (8, SIZE)
    for k, vector in enumerate(found.data):
        np.testing.assert_allclose(vector, model.embed(TALK[k * RATE :][: 3 * RATE]), atol=1e-5)


@pytest.mark.parametrize(("clustering", "parameters"), [AGGLOMERATIVE, VBX])
def test_its_diarisation_runs(folder, model, embedding, clustering, parameters):
    plda = local_plda(folder, SIZE)
    output, steps = diarise(plda, segmentation_network(), embedding.model_, clustering, parameters, TALK)
    names = output.speaker_diarization.labels()
    assert names
    assert output.speaker_embeddings.shape == (len(names), SIZE)
    assert np.isfinite(output.speaker_embeddings).all()
    for chunk, mask, found in heard(steps, TALK):
        np.testing.assert_allclose(found, masked(model, chunk, mask), atol=1e-5)
    found, masks = steps["embeddings"][-1], steps["segmentation"][-1].data > 0.5
    assert masks[..., :2].any(axis=1).all(axis=1).any()
    assert np.isnan(found[:, 2]).all()
    assert np.isfinite(found[:, :2]).any(axis=(0, 2)).all()


def test_the_page_of_it_says_what_runs(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    text = DOCS.read_text(encoding="utf-8")
    # In CI the extra was installed in this way, within `dev`.
    assert re.findall(r"```bash\n(.*?)```", text, re.DOTALL) == ["pip install 'cmd-speaker[pyannote]'\n"]
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 2
    known = {"segmentation": segmentation_network(), "plda": local_plda(folder, SIZE)}
    for block in blocks:
        exec(block, known)
    printed = capsys.readouterr().out.splitlines()
    turns = [line.split() for line in printed if "SPEAKER_" in line]
    assert turns
    assert all(0 <= float(start) < float(stop) <= 10.1 for start, stop, _ in turns)
    assert known["vector"].shape == (SIZE,)
    assert known["vectors"].shape == (8, SIZE)
