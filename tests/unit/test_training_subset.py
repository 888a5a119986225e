"""A part of a training manifest: nested, fixed, written as its own manifest."""

import pytest

from cmd_speaker.errors import DataError
from cmd_speaker.manifest import load_manifest
from cmd_speaker.training.subset import training_subset


@pytest.fixture
def manifest(tmp_path):
    path = tmp_path / "train.csv"
    rows = [f'{s}-{u},1.5,$data_root/{s}/{u}.wav,0,,{s},"a text, quoted"' for s in "abcdef" for u in range(6)]
    path.write_text("\n".join(["ID,duration,wav,start,stop,spk_id,text", *rows]) + "\n")
    return path


def part(manifest, **sizes):
    return load_manifest(training_subset(manifest, manifest.with_name("part.csv"), **sizes), "root")


def test_all_is_the_manifest_itself(manifest):
    assert training_subset(manifest, manifest.with_name("part.csv")) == manifest
    assert not manifest.with_name("part.csv").exists()


def test_smaller_parts_lie_within_larger_ones(manifest):
    whole = load_manifest(manifest, "root")
    large = part(manifest, speakers=4, utterances_per_speaker=5)
    small = part(manifest, speakers=2, utterances_per_speaker=3)
    assert (len(large), len(large.speakers)) == (20, 4)
    assert (len(small), len(small.speakers)) == (6, 2)
    ids = [{utterance.id for utterance in found} for found in (small, large, whole)]
    assert ids[0] < ids[1] < ids[2]
    # Rows stay in the order and the form that they had.
    assert [u.id for u in large] == [u.id for u in whole if u.id in ids[1]]
    assert {u.fields["text"] for u in small} == {"a text, quoted"}


def test_it_is_the_same_part_every_time(manifest):
    first = part(manifest, utterances_per_speaker=2).path.read_bytes()
    assert part(manifest, utterances_per_speaker=2).path.read_bytes() == first
    # By SHA-256 of their names, of speaker a: 2a33..., 4d17..., ...
    import hashlib

    ordered = sorted((f"a-{u}" for u in range(6)), key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    found = part(manifest, utterances_per_speaker=2)
    assert {u.id for u in found if u.spk_id == "a"} == set(ordered[:2])


def test_a_speaker_with_fewer_keeps_them_all(manifest):
    assert len(part(manifest, utterances_per_speaker=7)) == 36


def test_more_speakers_than_there_are_is_refused(manifest):
    with pytest.raises(DataError, match=r"expected at most 6, 0: all, found 7"):
        part(manifest, speakers=7)
