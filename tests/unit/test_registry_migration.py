"""Registries of format 1, as this program once wrote them."""

import json

import numpy as np
import pytest

from cmd_speaker.embeddings import Embeddings, save_embeddings
from cmd_speaker.files import file_checksum, json_checksum, save_stamped
from cmd_speaker.registry import Registry
from cmd_speaker.registry.store import FILE_NAME, Store
from tests.refusals import refused
from tests.registries import COSINE, KEY, MODEL, counts, folder_bytes, recording

NAMES = {"Anna": ["1" * 64, "2" * 64], "../Bert": ["3" * 64]}
VECTORS = np.float32([[1, 0], [0, 2], [-1, 3]])


@pytest.fixture
def former(tmp_path):
    """Anna with two recordings, ../Bert with one, and a calibration's file beside them."""
    folder = tmp_path / "reg"
    ids = [each for own in NAMES.values() for each in own]
    target = folder / f"embeddings-{json_checksum(ids)[:16]}.safetensors"
    save_embeddings(target, Embeddings(ids, VECTORS))
    speakers = {
        name: [{"file": f"{name}.wav", "sha256": each, "seconds": 1.5} for each in own]
        for name, own in NAMES.items()
    }
    embeddings = {"file": target.name, "sha256": file_checksum(target)}
    model = {"checksum": MODEL, "path": "../model"}
    save_stamped(
        folder / "registry.json", 1, {"model": model, "embeddings": embeddings, "speakers": speakers}
    )
    (folder / "calibration.json").write_text("{}")
    return folder


@pytest.mark.parametrize("key", [None, KEY], ids=["open", "encrypted"])
def test_it_becomes_one_of_today(former, key):
    if key:
        pytest.importorskip("cryptography")
    assert Registry.model_of(former) == MODEL
    # As a writer that was killed left them.
    (former / ".embeddings-0123456789abcdef.safetensors.7.tmp").write_bytes(b"part of a voice")
    # Not its own.
    (former / "embeddings-test.safetensors").write_bytes(b"")
    for _ in range(2):
        with Registry.open(former, key) as registry:
            assert [(each.name, each.recordings, each.seconds) for each in registry.speakers()] == [
                ("Anna", 2, 3.0), ("../Bert", 1, 1.5),
            ]  # fmt: skip
            assert (registry.model, registry.model_path) == (MODEL, "../model")
            assert registry.holder("3" * 64) == "../Bert"
            (first, _) = registry.identify(recording(-1, 3), COSINE).candidates
            assert (first.name, first.score) == ("../Bert", pytest.approx(1))
        left = sorted(path.name for path in former.iterdir())
        assert left == ["calibration.json", "embeddings-test.safetensors", FILE_NAME]
    assert (b"Bert" in folder_bytes(former)) is (key is None)


def test_broken_off_it_is_done_again(former, monkeypatch):
    before = folder_bytes(former)

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Store, "note", killed)
    with pytest.raises(KeyboardInterrupt):
        Registry.open(former)
    monkeypatch.undo()
    (former / FILE_NAME).unlink()
    assert folder_bytes(former) == before
    monkeypatch.setattr("cmd_speaker.registry.rows.remove_former", killed)
    with pytest.raises(KeyboardInterrupt):
        Registry.open(former)
    monkeypatch.undo()
    with Registry.open(former) as registry:
        assert counts(registry) == {"Anna": 2, "../Bert": 1}
    assert not (former / "registry.json").exists()


def change_json(folder, **changes):
    """Rewrite registry.json with changes and a right checksum."""
    path = folder / "registry.json"
    content = json.loads(path.read_text()) | changes
    content.pop("checksum")
    path.write_text(json.dumps({**content, "checksum": json_checksum(content)}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 2}, "another version"),
        ({"model": None}, "damaged"),
        ({"speakers": {"Anna": [{"file": "a"}]}}, "damaged"),
        ({"speakers": ["Anna"]}, "damaged"),
        ({"embeddings": None}, "damaged"),
        ({"embeddings": None, "speakers": {"Anna": []}}, "'Anna' has no recording"),
        ({"embeddings": {"file": "../../else.safetensors", "sha256": "0"}}, "else.safetensors"),
        ({"speakers": {"Anna": [{"file": "a", "sha256": "0", "seconds": 1}]}}, "were changed"),
    ],
)
def test_damage_is_found_also_with_a_right_checksum(former, changes, message):
    change_json(former, **changes)
    kept = {path.name for path in former.iterdir()}
    assert refused(lambda: Registry.open(former), message)
    assert kept <= {path.name for path in former.iterdir()}


def test_changed_files_are_found(former):
    path = former / "registry.json"
    text = path.read_text()
    path.write_text(text.replace("Bert", "Carl"))
    assert refused(lambda: Registry.open(former), "was changed")
    path.write_text("[]")
    assert refused(lambda: Registry.open(former), "not a registry")
    path.write_text(text)
    embeddings = next(former.glob("*.safetensors"))
    content = bytearray(embeddings.read_bytes())
    content[-2] ^= 1
    embeddings.write_bytes(content)
    assert refused(lambda: Registry.open(former), "embeddings of the registry were changed")
