"""The programs that models are exported for, themselves: ONNX Runtime, sherpa-onnx, SpeechBrain, Kaldi's reader.

Each test prints the largest difference from `SpeakerModel`, relative to the norm (`pytest -s`).
"""

import os
import subprocess
import sys

import kaldi_native_io
import numpy as np
import onnx
import onnxruntime
import pytest
import soundfile
import torch

from cmd_speaker.embeddings import Embeddings, load_embeddings
from cmd_speaker.errors import DataError
from cmd_speaker.export.kaldi import export_kaldi
from cmd_speaker.export.onnx import export_onnx
from cmd_speaker.export.sherpa_onnx import embed_with_sherpa, export_sherpa_onnx
from cmd_speaker.export.speechbrain import export_speechbrain
from cmd_speaker.features import FRONT_ENDS
from cmd_speaker.lists.speakers import load_utt2spk
from cmd_speaker.scoring.plda import Plda
from cmd_speaker.students import STUDENTS
from tests.exports import difference, recording, small_model

pytestmark = pytest.mark.second_stage
SECONDS = (0.15, 0.9, 2.345, 7.0)
"""Others than those that the export itself tries."""


@pytest.mark.parametrize("front_end", FRONT_ENDS)
@pytest.mark.parametrize("student", STUDENTS)
def test_onnx_runtime(tmp_path, student, front_end):
    model = small_model(tmp_path / "model", student, front_end)
    export_onnx(model, tmp_path / "w.onnx")
    export_onnx(model, tmp_path / "f.onnx", features=True)
    waves, features = (onnxruntime.InferenceSession(tmp_path / name) for name in ("w.onnx", "f.onnx"))
    worst = [0.0, 0.0]
    for seconds in SECONDS:
        batch = np.stack([recording(pitch, seconds) for pitch in (110, 170, 240)])
        inside = waves.run(None, {"waveforms": batch})[0]
        feats = model.encoder.front_end(torch.from_numpy(batch)).numpy()
        outside = features.run(None, {"feats": feats})[0]
        normalised = features.run(None, {"feats": feats - feats.mean(axis=1, keepdims=True)})[0]
        for samples, *found in zip(batch, inside, outside, normalised, strict=True):
            each = [difference(vector, model, samples) for vector in found]
            worst = [max(worst[0], each[0]), max(worst[1], *each[1:])]
    print(f"ONNX Runtime, {student}, {front_end}: {worst[0]:.1e} waveforms in, {worst[1]:.1e} features in")
    assert max(worst) <= 1e-4


SHERPA = """
import sys, numpy, sherpa_onnx as s
extractor = s.SpeakerEmbeddingExtractor(s.SpeakerEmbeddingExtractorConfig(model=sys.argv[1]))
manager = s.SpeakerEmbeddingManager(extractor.dim)
waves = numpy.load(sys.argv[2])
found = []
for name in ("ann", "ben", "eve"):
    stream = extractor.create_stream()
    stream.accept_waveform(16000, waves[name])
    stream.input_finished()
    assert extractor.is_ready(stream)
    found.append(extractor.compute(stream))
    assert manager.add(name, found[-1])
print(manager.num_speakers, extractor.dim)
for vector in found:
    scores = [manager.score(name, vector) for name in ("ann", "ben", "eve")]
    print(manager.search(vector, threshold=0.9999), *scores)
"""


@pytest.mark.parametrize("student", STUDENTS)
def test_sherpa_onnx_and_its_manager(tmp_path, student):
    model = small_model(tmp_path / "model", student)
    export_sherpa_onnx(model, tmp_path / "s.onnx", language="English", url="none")
    worst = 0.0
    for seconds in SECONDS:
        batch = np.stack([recording(pitch, seconds) for pitch in (110, 240)])
        for samples, vector in zip(batch, embed_with_sherpa(tmp_path / "s.onnx", batch), strict=True):
            worst = max(worst, difference(vector, model, samples))
    print(f"sherpa-onnx, {student}: {worst:.1e}")
    assert worst <= 1e-4
    voices = {"ann": recording(230, 2.0), "ben": recording(110, 2.0), "eve": recording(180, 3.0)}
    np.savez(tmp_path / "voices.npz", **voices)
    command = [sys.executable, "-c", SHERPA, str(tmp_path / "s.onnx"), str(tmp_path / "voices.npz")]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines[0] == "3 24"
    for name, line in zip(voices, lines[1:], strict=True):
        who, *scores = line.split()
        assert who == name
        expected = [model.similarity(voices[other], voices[name]) for other in voices]
        np.testing.assert_allclose(np.array(scores, float), expected, rtol=0, atol=1e-4)


def test_sherpa_onnx_ends_without_metadata(tmp_path):
    """Why it is asked in a process of its own, and that what it says is told."""
    model = small_model(tmp_path / "model", "xvector")
    export_sherpa_onnx(model, tmp_path / "s.onnx")
    proto = onnx.load(tmp_path / "s.onnx")
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    says = {"framework": "Unknown model type"}
    says |= {
        name: f"'{name}' does not exist"
        for name in ("language", "sample_rate", "output_dim", "normalize_samples")
    }
    for missing, message in says.items():
        del proto.metadata_props[:]
        onnx.helper.set_model_props(proto, {key: value for key, value in metadata.items() if key != missing})
        onnx.save(proto, tmp_path / "bad.onnx")
        with pytest.raises(DataError, match=rf"sherpa-onnx does not take this file.*{message}"):
            embed_with_sherpa(tmp_path / "bad.onnx", recording(110, 1.0)[None])


@pytest.mark.parametrize("front_end", FRONT_ENDS)
@pytest.mark.parametrize("student", STUDENTS)
def test_speechbrain_also_after_the_folder_was_moved(tmp_path, student, front_end, monkeypatch):
    from speechbrain.inference.classifiers import EncoderClassifier
    from speechbrain.inference.speaker import SpeakerRecognition

    model = small_model(tmp_path / "model", student, front_end)
    export_speechbrain(model, tmp_path / "here" / "sb")
    (tmp_path / "here").rename(tmp_path / "there")
    monkeypatch.chdir(tmp_path)
    source, worst = "there/sb", 0.0
    for client in (EncoderClassifier, SpeakerRecognition):
        loaded = client.from_hparams(source=source, run_opts={"device": "cpu"})
        assert {"classifier", "mean_var_norm_emb"} <= set(loaded.mods)
        for seconds in SECONDS:
            batch = np.stack([recording(pitch, seconds) for pitch in (110, 240)])
            found = loaded.encode_batch(torch.from_numpy(batch))
            assert found.shape == (2, 1, 24)
            for samples, vector in zip(batch, found[:, 0], strict=True):
                worst = max(worst, difference(vector, model, samples))
    print(f"SpeechBrain, {student}, {front_end}: {worst:.1e}")
    assert worst <= 1e-5
    for name, pitch in (("a.wav", 110), ("b.wav", 240)):
        soundfile.write(name, recording(pitch, 1.5), 16000, subtype="FLOAT")
    score, _ = loaded.verify_files("a.wav", "b.wav")
    assert float(score) == pytest.approx(model.similarity("a.wav", "b.wav"), abs=1e-5)


ALONE = """
import sys
sys.modules["cmd_speaker"] = None
import numpy, torch
from speechbrain.inference.speaker import SpeakerRecognition
client = SpeakerRecognition.from_hparams(source=sys.argv[1], run_opts={"device": "cpu"})
numpy.save(sys.argv[3], client.encode_batch(torch.from_numpy(numpy.load(sys.argv[2])))[:, 0].numpy())
"""


@pytest.mark.parametrize("front_end", FRONT_ENDS)
def test_what_speechbrain_loads_without_this_package(tmp_path, front_end):
    model = small_model(tmp_path / "model", "ecapa_tdnn", front_end)
    export_speechbrain(model, tmp_path / "sb")
    samples = recording(170, 1.3)
    np.save(tmp_path / "in.npy", samples[None])
    paths = [str(tmp_path / name) for name in ("sb", "in.npy", "out.npy")]
    command = [sys.executable, "-c", ALONE, *paths]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, cwd=tmp_path)
    if front_end == "speechbrain_fbank":
        assert done.returncode == 0, done.stderr
        assert difference(np.load(tmp_path / "out.npy")[0], model, samples) <= 1e-5
    else:
        assert done.returncode != 0
        assert "cmd_speaker" in done.stderr


def test_kaldis_reader_and_a_plda_on_what_it_read(tmp_path):
    """kaldi-native-io is Kaldi's own code for archives and tables; its spk2utt drives a training of PLDA."""
    rng = np.random.default_rng(0)
    names = [f"s{speaker:02}-{k}" for speaker in range(30) for k in range(6)]
    means = 2 * rng.standard_normal((30, 12))
    vectors = (np.repeat(means, 6, axis=0) + rng.standard_normal((180, 12))).astype(np.float32)
    speakers = {name: name[:3] for name in names}
    export_kaldi(Embeddings(names, vectors), speakers, tmp_path / "k")
    utterances, owners, found = [], [], []
    with (
        kaldi_native_io.SequentialTokenVectorReader(f"ark:{tmp_path}/k/spk2utt") as spk2utt,
        kaldi_native_io.RandomAccessFloatVectorReader(f"scp:{tmp_path}/k/xvector.scp") as xvectors,
    ):
        for speaker, spoken in spk2utt:
            utterances += spoken
            owners += [speaker] * len(spoken)
            found += [np.array(xvectors[name]) for name in spoken]
    assert utterances == names
    assert dict(zip(utterances, owners, strict=True)) == speakers == load_utt2spk(tmp_path / "k" / "utt2spk")
    assert np.array_equal(np.stack(found), vectors)
    assert np.array_equal(load_embeddings(tmp_path / "k" / "xvector.scp").vectors, vectors)
    # SpeechBrain's PLDA on what was read, in the order of spk2utt, tells the 30 speakers apart.
    unit = np.stack(found) / np.linalg.norm(found, axis=1, keepdims=True)
    points = Plda.fit(unit, owners).points(unit)
    scores = points.vectors @ points.vectors.T + points.offsets[:, None] + points.offsets
    same = np.array(owners)[:, None] == np.array(owners)
    targets = scores[same & ~np.eye(180, dtype=bool)]
    assert (targets > 0).mean() > 0.95
    assert (scores[~same] < 0).mean() > 0.95
