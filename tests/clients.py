"""What the programs that models are exported for give beside `SpeakerModel`: the rows of docs/exports.md's table.

A row is a function of `maker(place)`; it returns the largest difference, relative to the norm of an embedding.
"""

import json
from functools import cache

import kaldi_native_io
import kaldiio
import numpy as np
import onnxruntime
import soundfile
import torch
from safetensors import safe_open

from cmd_speaker.embeddings import Embeddings, save_embeddings
from cmd_speaker.export.kaldi import export_kaldi
from cmd_speaker.export.onnx import export_onnx
from cmd_speaker.export.sherpa_onnx import export_sherpa_onnx
from cmd_speaker.export.speechbrain import export_speechbrain
from cmd_speaker.features import FRONT_ENDS
from cmd_speaker.students import STUDENTS
from tests import diarisation
from tests.exports import difference, in_a_process, recording, small_model

BATCHES = [
    np.stack([recording(pitch, seconds) for pitch in (110, 170, 240)]) for seconds in (0.15, 0.9, 2.345, 7.0)
]
"""Other lengths than those that the export itself tries."""


def maker(place):
    """A function: kind, student and front-end -> the model, and what was exported of it into `place`, once."""

    @cache
    def model(student, front_end):
        return small_model(place / f"{student} {front_end}", student, front_end)

    @cache
    def make(kind, student, front_end):
        source, out = model(student, front_end), place / f"{kind} {student} {front_end}"
        if kind == "speechbrain":
            export_speechbrain(source, out / "here")
            return source, (out / "here").rename(out / "there")
        if kind == "sherpa":
            export_sherpa_onnx(source, out.with_suffix(".onnx"), language="English", url="none")
            return source, out.with_suffix(".onnx")
        if kind == "run by sherpa":
            return source, _run_sherpa(make("sherpa", student, front_end)[1], place)
        if kind == "kaldi":
            ids = [f"a{length}-{k}" for length in range(len(BATCHES)) for k in range(3)]
            vectors = np.stack([source.embed(samples) for batch in BATCHES for samples in batch])
            export_kaldi(Embeddings(ids, vectors), {name: name[:2] for name in ids}, out)
            for end in ("npz", "safetensors"):
                save_embeddings(out / f"stored.{end}", Embeddings(ids, vectors))
            return dict(zip(ids, vectors, strict=True)), out
        if kind == "folder":
            return source, source.folder
        export_onnx(source, out.with_suffix(".onnx"), features=kind == "features")
        return source, onnxruntime.InferenceSession(out.with_suffix(".onnx"))

    return lambda kind, student, front_end="kaldi_fbank": make(kind, student, front_end)


def worst(model, embed):
    """The largest difference of what `embed` makes of batches [3, samples], relative to the norm."""
    found = [
        difference(vector, model, samples)
        for batch in BATCHES
        for samples, vector in zip(batch, embed(batch), strict=True)
    ]
    return np.max(found)


def every(kind, made, front_ends=tuple(FRONT_ENDS)):
    return [made(kind, student, front_end) for front_end in front_ends for student in STUDENTS]


def onnx_waveforms(made):
    return np.max(
        [
            worst(model, lambda batch, session=session: session.run(None, {"waveforms": batch})[0])
            for model, session in every("waveforms", made)
        ]
    )


def onnx_features(made):
    """As the front-end gives them, and with the mean subtracted."""

    def embed(model, session, batch, share):
        feats = model.encoder.front_end(torch.from_numpy(batch)).numpy()
        return session.run(None, {"feats": feats - share * feats.mean(axis=1, keepdims=True)})[0]

    pairs = [*every("features", made, ["kaldi_fbank"]), made("features", "xvector", "speechbrain_fbank")]
    return np.max(
        [
            worst(model, lambda batch, m=model, s=session, share=share: embed(m, s, batch, share))
            for model, session in pairs
            for share in (0, 1)
        ]
    )


SHERPA = """
import sys, numpy, sherpa_onnx as s
extractor = s.SpeakerEmbeddingExtractor(s.SpeakerEmbeddingExtractorConfig(model=sys.argv[1]))
manager = s.SpeakerEmbeddingManager(extractor.dim)
waves = numpy.load(sys.argv[2])
def embed(samples, chunk):
    stream = extractor.create_stream()
    for start in range(0, len(samples), chunk):
        stream.accept_waveform(16000, samples[start : start + chunk])
    stream.input_finished()
    assert extractor.is_ready(stream)
    return extractor.compute(stream)
whole = {name: embed(waves[name], len(waves[name])) for name in waves.files}
chunks = {f"{name} in chunks": embed(waves[name], 333) for name in waves.files}
names = [name for name in waves.files if name.startswith("3 ")]
assert all(manager.add(name, whole[name]) for name in names) and manager.num_speakers == 3
assert [manager.search(whole[name], threshold=0.9999) for name in names] == names
scores = [[manager.score(a, whole[b]) for a in names] for b in names]
numpy.savez(sys.argv[3], scores=scores, **whole, **chunks)
"""


def _run_sherpa(file, place):
    """In a process of its own: what sherpa-onnx gives for "LENGTH VOICE", and the scores of the longest."""
    waves = {f"{n} {k}": samples for n, batch in enumerate(BATCHES) for k, samples in enumerate(batch)}
    np.savez(place / "waves.npz", **waves)
    in_a_process(place, "-c", SHERPA, file, place / "waves.npz", place / "found.npz")
    with np.load(place / "found.npz") as found:
        return dict(found)


def sherpa_extractor(made):
    found = []
    for model, vectors in every("run by sherpa", made, ["kaldi_fbank"]):
        for form in ("", " in chunks"):
            each = iter([vectors[f"{n} {k}{form}"] for n in range(len(BATCHES)) for k in range(3)])
            found.append(worst(model, lambda batch, each=each: [next(each) for _ in batch]))
    return np.max(found)


def sherpa_manager(made):
    found = []
    for model, vectors in every("run by sherpa", made, ["kaldi_fbank"]):
        expected = [[model.similarity(a, b) for a in BATCHES[-1]] for b in BATCHES[-1]]
        found.append(np.abs(vectors["scores"] - expected).max())
    return np.max(found)


def speechbrain_encoder(made):
    from speechbrain.inference.classifiers import EncoderClassifier

    return np.max([_speechbrain(EncoderClassifier, *pair)[1] for pair in every("speechbrain", made)])


def speechbrain_recognition(made):
    """Also the scores of files."""
    from speechbrain.inference.speaker import SpeakerRecognition

    found = []
    for model, folder in every("speechbrain", made):
        client, largest = _speechbrain(SpeakerRecognition, model, folder)
        files = [str(folder / f"{pitch}.wav") for pitch in (110, 240)]
        for file, pitch in zip(files, (110, 240), strict=True):
            soundfile.write(file, recording(pitch, 1.5), 16000, subtype="FLOAT")
        score, _ = client.verify_files(*files)
        found += [largest, abs(float(score) - model.similarity(*files))]
    return np.max(found)


def _speechbrain(client, model, folder):
    loaded = client.from_hparams(source=str(folder), run_opts={"device": "cpu"})
    assert {"classifier", "mean_var_norm_emb"} <= set(loaded.mods)
    return loaded, worst(model, lambda batch: loaded.encode_batch(torch.from_numpy(batch))[:, 0])


ALONE = """
import sys
sys.modules["cmd_speaker"] = None
import numpy, torch
from speechbrain.inference.speaker import SpeakerRecognition
client = SpeakerRecognition.from_hparams(source=sys.argv[1], run_opts={"device": "cpu"})
batches = numpy.load(sys.argv[2])
found = {name: client.encode_batch(torch.from_numpy(batches[name]))[:, 0] for name in batches.files}
numpy.savez(sys.argv[3], **found)
"""


def speechbrain_alone(made):
    model, folder = made("speechbrain", "ecapa_tdnn", "speechbrain_fbank")
    given, result = folder.parent / "in.npz", folder.parent / "out.npz"
    np.savez(given, *BATCHES)
    in_a_process(folder.parent, "-c", ALONE, folder.name, given, result)
    with np.load(result) as found:
        batches = iter(found.values())
        return worst(model, lambda _: next(batches))


def pyannote_model(made):
    from pyannote.audio.pipelines.speaker_verification import PretrainedSpeakerEmbedding

    from cmd_speaker.export.pyannote import PyannoteSpeakerModel

    found = []
    for model, folder in every("folder", made):
        client = PretrainedSpeakerEmbedding(PyannoteSpeakerModel.load(folder))
        for masks in (None, torch.ones(3, 59)):
            found.append(
                worst(model, lambda b, c=client, masks=masks: c(torch.from_numpy(b)[:, None], masks=masks))
            )
    return np.max(found)


def pyannote_pipeline(made):
    """Beside what the model makes of the frames that the mask of a speaker keeps."""
    from cmd_speaker.export.pyannote import PyannoteSpeakerModel

    model, folder = made("folder", "ecapa_tdnn")
    plda = diarisation.local_plda(folder.parent, model.embedding_size)
    network, samples = diarisation.segmentation_network(), diarisation.talk()
    embedding = PyannoteSpeakerModel.load(folder)
    _, steps = diarisation.diarise(plda, network, embedding, *diarisation.AGGLOMERATIVE, samples)
    found = []
    for chunk, mask, vector in diarisation.heard(steps, samples):
        expected = diarisation.masked(model, chunk, mask)
        assert np.array_equal(np.isnan(vector), np.isnan(expected))
        if np.isfinite(expected).all():
            found.append(np.abs(vector - expected).max() / np.linalg.norm(expected))
    assert len(found) > 8
    return np.max(found)


def read_kaldi(folder):
    """Each speaker, with the embeddings of his or her utterances, by kaldi-native-io: Kaldi's own code."""
    with (
        kaldi_native_io.SequentialTokenVectorReader(f"ark:{folder}/spk2utt") as spk2utt,
        kaldi_native_io.RandomAccessFloatVectorReader(f"scp:{folder}/xvector.scp") as xvectors,
    ):
        for speaker, spoken in spk2utt:
            yield speaker, {name: np.array(xvectors[name]) for name in spoken}


def kaldis_reader(made):
    expected, folder = made("kaldi", "xvector")
    found = {}
    for speaker, spoken in read_kaldi(folder):
        assert all(name.startswith(speaker) for name in spoken)
        found |= spoken
    return _apart(found, expected)


def kaldiio_reader(made):
    expected, folder = made("kaldi", "xvector")
    return _apart(dict(kaldiio.load_scp(str(folder / "xvector.scp"))), expected)


def numpy_reader(made):
    expected, folder = made("kaldi", "xvector")
    with np.load(folder / "stored.npz") as stored:
        return _apart(dict(zip(stored["ids"], stored["embeddings"], strict=True)), expected)


def safetensors_reader(made):
    expected, folder = made("kaldi", "xvector")
    with safe_open(folder / "stored.safetensors", framework="numpy") as stored:
        ids, vectors = json.loads(stored.metadata()["ids"]), stored.get_tensor("embeddings")
    return _apart(dict(zip(ids, vectors, strict=True)), expected)


def _apart(found, expected):
    assert found.keys() == expected.keys()
    return np.max([np.abs(found[name] - expected[name]).max() for name in expected])


ROWS = {
    ("ONNX Runtime", "waveforms in"): onnx_waveforms,
    ("ONNX Runtime", "features in, mean subtracted or not"): onnx_features,
    ("sherpa-onnx", "`SpeakerEmbeddingExtractor`, recordings whole and in chunks"): sherpa_extractor,
    ("sherpa-onnx", "`SpeakerEmbeddingManager`: `add`, `search`; scores"): sherpa_manager,
    ("SpeechBrain", "`EncoderClassifier.encode_batch`, folder moved"): speechbrain_encoder,
    ("SpeechBrain", "`SpeakerRecognition`: `encode_batch`, `verify_files`"): speechbrain_recognition,
    ("SpeechBrain", "without this package: ECAPA-TDNN on `speechbrain_fbank`"): speechbrain_alone,
    ("pyannote.audio", "`Model`, without masks and with masks of ones"): pyannote_model,
    ("pyannote.audio", "`SpeakerDiarization`, the embeddings it clusters"): pyannote_pipeline,
    ("kaldi-native-io", "`spk2utt` and `xvector.scp` by Kaldi's own reader"): kaldis_reader,
    ("kaldiio", "`load_scp`"): kaldiio_reader,
    ("NumPy", "`load` of an `.npz`"): numpy_reader,
    ("safetensors", "`safe_open`"): safetensors_reader,
}
"""Client and what is run -> the function."""
