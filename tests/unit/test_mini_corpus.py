"""Mini as a whole: the tree, the parts kept apart, the same bytes for the same seed."""

import dataclasses
import itertools

import numpy as np
import pytest
import soundfile

from cmd_speaker.errors import DataError, UsageError
from cmd_speaker.files import file_checksum
from cmd_speaker.lists.trials import load_trials
from cmd_speaker.manifest import load_manifest, refuse_shared_speakers
from data_prep.mini import corpus
from data_prep.mini.corpus import Design, prepare
from data_prep.mini.sheet import draw_sheet

DESIGN = Design(seed=3, train=4, valid=4, test=4)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("mini") / "corpus"
    return root, prepare(root, DESIGN)


def checksums(root):
    return {str(p.relative_to(root)): file_checksum(p) for p in sorted(root.rglob("*")) if p.is_file()}


def test_the_same_seed_makes_the_same_bytes_and_another_does_not(made, tmp_path):
    root, _ = made
    prepare(tmp_path / "again", DESIGN)
    assert checksums(tmp_path / "again") == checksums(root)
    prepare(tmp_path / "other", dataclasses.replace(DESIGN, seed=4))
    ours, other = checksums(root), checksums(tmp_path / "other")
    assert ours.keys() == other.keys()
    assert not set(ours.values()) & {v for name, v in other.items() if name.endswith((".flac", ".jpg"))}


def test_the_tree_is_voxcelebs_at_16_khz(made):
    root, files = made
    manifest = load_manifest(files.train, root, check_files=True)
    assert len(manifest) == 4 * 4 * 3
    assert manifest.utterances[0].id == "id10001/s1/00001.flac"
    assert manifest.utterances[0].wav == root / "wav" / "id10001" / "s1" / "00001.flac"
    for utterance in manifest:
        info = soundfile.info(utterance.wav)
        assert (info.samplerate, info.channels) == (16000, 1)
        assert utterance.duration == pytest.approx(info.duration)
        assert 1 < info.duration < 15


def test_parts_share_no_speaker_and_the_test_part_has_neither_texts_nor_faces(made):
    root, files = made
    train, valid, test = (load_manifest(path, root) for path in (files.train, files.valid, files.test))
    for other in (valid, test):
        refuse_shared_speakers(train, other)
    refuse_shared_speakers(valid, test)
    assert not {"text", "face"} & test.utterances[0].fields.keys()
    drawn = {path.name for path in (root / "faces").iterdir()}
    assert drawn == set(train.speakers) | set(valid.speakers)


def test_every_session_of_a_training_speaker_has_pictures_and_a_speaker_one_text(made):
    root, files = made
    texts = {}
    for utterance in load_manifest(files.train, root):
        folder = root / utterance.fields["face"].removeprefix("$data_root/")
        assert len(list(folder.glob("*.jpg"))) == corpus.PICTURES
        assert folder.parts[-2:] == (utterance.spk_id, utterance.fields["session"])
        texts.setdefault(utterance.spk_id, set()).add(utterance.fields["text"])
    assert all(len(of_one) == 1 for of_one in texts.values())


@pytest.mark.parametrize("part", ["valid", "test"])
def test_targets_cross_sessions_and_nontargets_are_of_one_sex(made, part):
    root, files = made
    by_id = {u.id: u for u in load_manifest(getattr(files, part), root)}
    trials = load_trials(getattr(files, f"{part}_trials"))
    pairs = [tuple(by_id[name] for name in trials.pair(k)) for k in range(len(trials))]
    for (a, b), target in zip(pairs, trials.labels, strict=True):
        assert (a.spk_id == b.spk_id) == target
        assert a.fields["session"] != b.fields["session"] or not target
        assert a.fields["gender"] == b.fields["gender"]
    per_session = corpus.UTTERANCES[part]
    targets = 4 * 6 * per_session**2  # speakers, pairs of sessions, pairs of recordings
    assert trials.labels.sum() == targets
    assert len(set(map(trials.pair, range(len(trials))))) == len(trials)


def test_what_is_there_is_used_again_and_another_corpus_is_refused(made, tmp_path):
    root, files = made
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert prepare(root, DESIGN) == files
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
    with pytest.raises(DataError, match=r"another corpus.*'seed': 9"):
        prepare(root, dataclasses.replace(DESIGN, seed=9))
    (tmp_path / "theses.txt").write_text("not to be overwritten")
    with pytest.raises(DataError, match=r"no readable corpus\.json"):
        prepare(tmp_path, DESIGN)
    assert (tmp_path / "theses.txt").read_text() == "not to be overwritten"


def test_an_incomplete_corpus_is_refused(made, tmp_path):
    import shutil

    for lost in ("faces/id10001/s1/1.jpg", "manifests/valid.csv", "wav/id30001/s1/00001.flac"):
        shutil.copytree(made[0], tmp_path / "copy")
        (tmp_path / "copy" / lost).unlink()
        with pytest.raises(DataError, match=r"not complete any more.*Delete the folder"):
            prepare(tmp_path / "copy", DESIGN)
        shutil.rmtree(tmp_path / "copy")


def test_a_file_in_the_place_of_the_corpus_is_refused(tmp_path):
    (tmp_path / "corpus").write_text("a file")
    with pytest.raises(DataError, match="not a folder"):
        prepare(tmp_path / "corpus", DESIGN)


def test_one_person_has_one_face_and_one_voice_in_all_sessions(made):
    """A person drawn anew, or another voice, in each session would leave sessions no closer than people."""
    from cmd_speaker.audio import read_audio
    from cmd_speaker.teachers.pictures import read_pictures

    root, files = made
    faces, voices = {}, {}
    for utterance in load_manifest(files.train, root):
        key = (utterance.spk_id, utterance.fields["session"])
        pictures = sorted((root / "faces" / key[0] / key[1]).iterdir())
        # Low resolution, without the mean: expression, pose and light matter less than skin and hair.
        small = read_pictures(pictures, 8).astype(float).mean(0)
        faces[key] = (small[:, 2:6, 2:6] - small.mean((1, 2), keepdims=True)).ravel()
        spectrum = np.abs(np.fft.rfft(read_audio(utterance.wav), 65536))[400:16000]
        voices.setdefault(key, []).append(np.log(spectrum.reshape(-1, 300).mean(1) + 1e-6))
    for vectors in (faces, {key: np.mean(found, axis=0) for key, found in voices.items()}):
        own, other = [], []
        for a, b in itertools.combinations(vectors, 2):
            (own if a[0] == b[0] else other).append(np.corrcoef(vectors[a], vectors[b])[0, 1])
        assert np.mean(own) > np.mean(other)


def test_a_broken_run_leaves_no_half_corpus(tmp_path, monkeypatch):
    def broken(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(corpus, "_draw_trials", broken)
    with pytest.raises(KeyboardInterrupt):
        prepare(tmp_path / "corpus", DESIGN)
    assert list(tmp_path.iterdir()) == []


def test_too_few_speakers_are_refused():
    with pytest.raises(UsageError, match="3 speakers in the valid part"):
        Design(valid=3)


def test_the_sheet_shows_faces_and_voices(made, tmp_path):
    from matplotlib.image import imread

    root, files = made
    draw_sheet(load_manifest(files.train, root), root, tmp_path / "a.png")
    draw_sheet(load_manifest(files.train, root), root, tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert imread(tmp_path / "a.png").std() > 0.1
