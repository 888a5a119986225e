"""The programs that models are exported for, themselves; docs/exports.md has their table.

`pytest -s -m second_stage tests/second_stage/test_export_clients.py` prints it as it is here and now.
"""

import pickle
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load

from cmd_speaker.embeddings import Embeddings
from cmd_speaker.errors import DataError
from cmd_speaker.export import sherpa_onnx as sherpa_export
from cmd_speaker.export.kaldi import export_kaldi
from cmd_speaker.export.sherpa_onnx import embed_with_sherpa, export_sherpa_onnx
from cmd_speaker.scoring.plda import Plda
from tests.clients import ALONE, ROWS, maker, read_kaldi
from tests.exports import recording
from tests.refusals import refused

pytestmark = pytest.mark.second_stage
PAGE = Path(__file__).resolve().parents[2] / "docs" / "exports.md"
TABLE = re.findall(
    r"^\| ([^|]+) \| [\d.]+ \| ([^|]+) \| ([\d.e-]+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE
)
PACKAGES = {"ONNX Runtime": "onnxruntime", "kaldi-native-io": "kaldi_native_io"}
"""Names of packages that are not those of the programs."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return maker(tmp_path_factory.mktemp("exports"))


def test_the_table_has_every_client():
    assert {(client, what) for client, what, _ in TABLE} == ROWS.keys()
    assert len(TABLE) == len(ROWS)


@pytest.mark.parametrize(
    ("client", "what", "written"), TABLE, ids=[f"{row[0]} {n}" for n, row in enumerate(TABLE)]
)
def test_no_difference_is_larger_than_the_table_says(made, client, what, written):
    found = ROWS[client, what](made)
    print(f"\n| {client} | {version(PACKAGES.get(client, client))} | {what} | {found:.1e} |")
    assert found <= float(written)


def test_sherpa_onnx_ends_without_metadata(made, tmp_path):
    """Why it is asked in a process of its own, and that what it says is told."""
    _, file = made("sherpa", "xvector")
    proto = onnx.load(file)
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


def test_a_changed_weight_is_seen_by_sherpa_onnx_and_an_earlier_file_stays(made, tmp_path, monkeypatch):
    model, file = made("sherpa", "xvector")
    proto = onnx.load(file)
    weight = max(proto.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    changed = 1.01 * onnx.numpy_helper.to_array(weight)
    weight.CopyFrom(onnx.numpy_helper.from_array(changed.astype(np.float32), weight.name))
    monkeypatch.setattr(sherpa_export, "build_proto", lambda *_: proto)
    (tmp_path / "s.onnx").write_bytes(b"earlier")
    assert refused(
        lambda: export_sherpa_onnx(model, tmp_path / "s.onnx"), "sherpa-onnx 2", "other embeddings"
    )
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"earlier"]


def test_sherpa_onnx_hears_nothing_in_too_little(made):
    """Under half a frame there is no embedding; with a few frames ONNX Runtime cannot pad, and says so."""
    _, file = made("sherpa", "xvector")
    assert embed_with_sherpa(file, np.zeros((1, 79), np.float32)).shape == (1, 0)
    assert refused(lambda: embed_with_sherpa(file, np.zeros((1, 399), np.float32)), "sherpa-onnx", "Pad")


def test_speechbrains_weights_are_safetensors(made):
    model, folder = made("speechbrain", "xvector")
    stored = (folder / "embedding_model.ckpt").read_bytes()
    assert load(stored).keys() == model.encoder.student.state_dict().keys()
    with pytest.raises(pickle.UnpicklingError):
        torch.load(folder / "embedding_model.ckpt", weights_only=False)


def test_speechbrain_with_a_folder_for_its_links(made, tmp_path):
    """`savedir` takes links, and the exported folder is left as it was."""
    from speechbrain.inference.speaker import SpeakerRecognition

    model, folder = made("speechbrain", "xvector")
    before = {path: path.stat() for path in (folder, *folder.iterdir())}
    client = SpeakerRecognition.from_hparams(str(folder), savedir=str(tmp_path / "save dir"))
    samples = recording(170, 1.0)
    found = client.encode_batch(torch.from_numpy(samples)[None])[0, 0]
    np.testing.assert_allclose(found.cpu(), model.embed(samples), atol=1e-4)
    assert {path: path.stat() for path in (folder, *folder.iterdir())} == before


def test_speechbrain_alone_does_not_know_our_front_end(made, tmp_path):
    _, folder = made("speechbrain", "ecapa_tdnn", "kaldi_fbank")
    command = [sys.executable, "-c", ALONE, str(folder), "in.npz", "out.npz"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert "cmd_speaker" in done.stderr
    assert "Needs the package cmd-speaker" in (folder / "hyperparams.yaml").read_text()
    assert "with `pip install cmd-speaker`" in (folder / "README.md").read_text()


def test_a_plda_on_what_kaldis_reader_gives(tmp_path):
    """SpeechBrain's PLDA, trained in the order of spk2utt, tells the 30 speakers apart."""
    rng = np.random.default_rng(0)
    names = [f"s{speaker:02}-{k}" for speaker in range(30) for k in range(6)]
    means = 2 * rng.standard_normal((30, 12))
    vectors = (np.repeat(means, 6, axis=0) + rng.standard_normal((180, 12))).astype(np.float32)
    export_kaldi(Embeddings(names, vectors), {name: name[:3] for name in names}, tmp_path / "k")
    owners, found = [], []
    for speaker, spoken in read_kaldi(tmp_path / "k"):
        owners += [speaker] * len(spoken)
        found += spoken.values()
    unit = np.stack(found) / np.linalg.norm(found, axis=1, keepdims=True)
    points = Plda.fit(unit, owners).points(unit)
    scores = points.vectors @ points.vectors.T + points.offsets[:, None] + points.offsets
    same = np.array(owners)[:, None] == np.array(owners)
    targets = scores[same & ~np.eye(180, dtype=bool)]
    assert (targets > 0).mean() > 0.95
    assert (scores[~same] < 0).mean() > 0.95
