"""pyannote.audio with a student of ours: its contract for embeddings, and its diarisation pipeline."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from cmd_speaker.errors import DataError
from cmd_speaker.model import SpeakerModel
from tests.conftest import voice, write_audio
from tests.integration.test_calibrated import make_model

pytestmark = pytest.mark.second_stage
DOCS = Path(__file__).resolve().parents[2] / "docs" / "pyannote.md"
SIZE = 24
RATE = 16000


@pytest.fixture(scope="module", autouse=True)
def pyannote():
    """The client; it reports its use to its makers unless told otherwise before it is imported."""
    os.environ["PYANNOTE_METRICS_ENABLED"] = "0"
    return pytest.importorskip("pyannote.audio")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with MODEL, two voices in turn in talk.wav, and the files of a PLDA of pyannote's."""
    folder = tmp_path_factory.mktemp("pyannote")
    make_model(folder / "MODEL", 0)
    turns = [(110, 1.0), (210, 0.8), (110, 1.0), (210, 0.8)]
    parts = [voice(*turn, 2.5, np.random.default_rng(k)) for k, turn in enumerate(turns)]
    write_audio(folder / "talk.wav", np.concatenate(parts))
    zeros, unit = np.zeros(SIZE), np.eye(SIZE)
    np.savez(folder / "xvec_transform.npz", mean1=zeros, mean2=zeros, lda=unit)
    np.savez(folder / "plda.npz", mu=zeros, tr=unit, psi=np.linspace(2, 1, SIZE))
    return folder


@pytest.fixture(scope="module")
def model(folder):
    return SpeakerModel.load(folder / "MODEL")


@pytest.fixture(scope="module")
def talk(folder):
    return soundfile.read(folder / "talk.wav", dtype="float32")[0]


@pytest.fixture(scope="module")
def embedding(folder):
    """pyannote's own wrapper around the model."""
    from pyannote.audio.pipelines.speaker_verification import PretrainedSpeakerEmbedding

    from cmd_speaker.export.pyannote import PyannoteSpeakerModel

    return PretrainedSpeakerEmbedding(PyannoteSpeakerModel.load(folder / "MODEL"))


@pytest.fixture(scope="module")
def segmentation():
    """pyannote's smallest segmentation network, random: one of two speakers talks at a time, a third never."""
    from pyannote.audio.core.task import Problem, Resolution, Specifications
    from pyannote.audio.models.segmentation.debug import SimpleSegmentationModel

    torch.manual_seed(1)
    network = SimpleSegmentationModel()
    network.specifications = Specifications(
        Problem.MULTI_LABEL_CLASSIFICATION, Resolution.FRAME, duration=2.0, classes=["a", "b", "c"]
    )
    network.build()
    with torch.no_grad():
        network.classifier.weight[1] = -network.classifier.weight[0]
        network.classifier.weight[2] = 0
        network.classifier.bias.copy_(torch.tensor([0.0, 0.0, -9.0]))
    return network


def masked(model, chunk, mask):
    """The embedding [D] of the frames that the mask [m] keeps, by hand; NaN where they are fewer than ten."""
    with torch.inference_mode():
        features = model.encoder.features(torch.from_numpy(chunk)[None])
        places = np.arange(features.shape[1]) * len(mask) // features.shape[1]
        kept = features[:, mask[places] > 0.5]
        if kept.shape[1] < 10:
            return np.full(SIZE, np.nan)
        return model.encoder.student(kept - kept.mean(dim=1, keepdim=True))[0].numpy()


def batch(*signals):
    return torch.from_numpy(np.stack(signals))[:, None]


def local_plda(folder):
    from pyannote.audio.core.plda import PLDA

    return PLDA.from_pretrained(folder)


def diarise(folder, segmentation, embedding, clustering, parameters, audio):
    """The pipeline's output, and what it says of its steps by their names."""
    from pyannote.audio.pipelines import SpeakerDiarization

    pipeline = SpeakerDiarization(
        segmentation=segmentation,
        embedding=embedding,
        plda=local_plda(folder),
        clustering=clustering,
        embedding_batch_size=7,
    )
    pipeline.instantiate(
        {"segmentation": {"threshold": 0.5, "min_duration_off": 0.0}, "clustering": parameters}
    )
    steps = {}

    def keep(name, artefact, **_):
        if artefact is not None:
            steps.setdefault(name, []).append(artefact)

    return pipeline(audio, hook=keep), steps


AGGLOMERATIVE = ("AgglomerativeClustering", {"method": "centroid", "min_cluster_size": 2, "threshold": 0.5})
VBX = ("VBxClustering", {"threshold": 0.6, "Fa": 0.07, "Fb": 0.8})


def test_its_contract(embedding):
    assert (embedding.dimension, embedding.sample_rate, embedding.metric) == (SIZE, RATE, "cosine")
    # pyannote finds by trial what the shortest chunk is: 0.1 s.
    assert embedding.min_num_samples == 1600


@pytest.mark.parametrize("seconds", [0.1, 0.73, 3.0, 9.9])
def test_without_a_mask_and_with_one_of_ones_it_is_the_files_embedding(model, embedding, talk, seconds):
    length = round(seconds * RATE)
    chunks = [talk[:length], talk[-length:]]
    expected = np.stack([model.embed(chunk) for chunk in chunks])
    np.testing.assert_allclose(embedding(batch(*chunks)), expected, atol=1e-5)
    ones = torch.ones(2, 17)
    np.testing.assert_allclose(embedding(batch(*chunks), masks=ones), expected, atol=1e-5)
    assert np.abs(expected).max() > 0.1


def test_a_mask_picks_frames(model, embedding, talk):
    """Of 2 s, the second quarter and the last: frames 50 to 99 and 150 to 199, as if one followed another."""
    chunk = talk[: 2 * RATE]
    mask = torch.tensor([[0.0, 1.0, 0.4, 0.6]])
    with torch.inference_mode():
        features = model.encoder.features(torch.from_numpy(chunk)[None])
        kept = torch.cat([features[:, 50:100], features[:, 150:]], dim=1)
        expected = model.encoder.student(kept - kept.mean(dim=1, keepdim=True))
    found = embedding(batch(chunk), masks=mask)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)
    assert np.abs(found - model.embed(chunk)).max() > 1e-3


def test_one_signal_has_many_speakers(embedding, talk):
    chunks, masks = batch(talk[:RATE], talk[-RATE:]), torch.rand(2, 3, 50, generator=torch.manual_seed(2))
    together = embedding(chunks, masks=masks)
    assert together.shape == (2, 3, SIZE)
    for speaker in range(3):
        np.testing.assert_array_equal(together[:, speaker], embedding(chunks, masks=masks[:, speaker]))


def test_rows_with_too_little_speech_are_nan_and_harm_no_other(model, embedding, talk):
    silent = np.concatenate([np.zeros(RATE, np.float32), talk[:RATE]])
    masks = torch.zeros(4, 200)
    masks[0, :9] = masks[1, 100:] = masks[2, :100] = 1
    found = embedding(batch(silent, silent, silent, silent), masks=masks)
    # 0.09 s; a second of speech; one of digital silence; nothing at all.
    assert np.isnan(found).all(axis=1).tolist() == [True, False, True, True]
    assert not np.isnan(found[1]).any()
    short = batch(talk[:1599])
    assert np.isnan(embedding(short, masks=torch.ones(1, 5))).all()
    with pytest.raises(DataError, match="too short"):
        embedding(short)


def test_other_shapes_are_refused(embedding):
    for waveforms, masks in (
        (torch.zeros(2, 1600), None),
        (torch.zeros(2, 2, 1600), None),
        (torch.zeros(2, 1, 1600), torch.ones(3, 5)),
        (torch.zeros(2, 1, 1600), torch.ones(5)),
    ):
        with pytest.raises(DataError, match="shape"):
            embedding(waveforms, masks=masks)


def test_whole_files_through_its_inference(pyannote, model, embedding, talk, folder):
    inference = pyannote.Inference(embedding.model_, window="whole")
    found = inference({"waveform": torch.from_numpy(talk)[None], "sample_rate": RATE})
    np.testing.assert_allclose(found, model.embed(folder / "talk.wav"), atol=1e-5)
    assert found.shape == (SIZE,)


@pytest.mark.parametrize(("clustering", "parameters"), [AGGLOMERATIVE, VBX])
def test_its_diarisation_runs(folder, model, segmentation, embedding, talk, clustering, parameters):
    audio = {"waveform": torch.from_numpy(talk)[None], "sample_rate": RATE, "uri": "talk"}
    output, steps = diarise(folder, segmentation, embedding.model_, clustering, parameters, audio)
    names = output.speaker_diarization.labels()
    assert names
    assert output.speaker_embeddings.shape == (len(names), SIZE)
    assert np.isfinite(output.speaker_embeddings).all()
    # Chunks of 2 s every 0.2 s, three speakers each.
    found = steps["embeddings"][-1]
    masks = steps["segmentation"][-1].data > 0.5
    assert masks[..., :2].any(axis=1).all(axis=1).any()
    for k in range(0, 40, 5):
        chunk = talk[k * RATE // 5 :][: 2 * RATE]
        expected = np.stack([masked(model, chunk, mask) for mask in masks[k].T.astype(np.float32)])
        np.testing.assert_allclose(found[k], expected, atol=1e-5)
    assert np.isnan(found[:, 2]).all()
    assert np.isfinite(found[:, :2]).any(axis=(0, 2)).all()


def test_the_page_of_it_says_what_runs(folder, segmentation, talk, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 2
    known = {"segmentation": segmentation, "plda": local_plda(folder)}
    for block in blocks:
        exec(block, known)
    printed = capsys.readouterr().out.splitlines()
    turns = [line.split() for line in printed if "SPEAKER_" in line]
    assert turns
    assert all(0 <= float(start) < float(stop) <= 10.1 for start, stop, _ in turns)
    assert known["vector"].shape == (SIZE,)
