"""Shards in the eyes of the package that the format comes from."""

import json

import pytest

from cmd_speaker.shards.index import sample_name
from cmd_speaker.shards.packing import pack
from tests.shards import manifest_of, write_corpus

webdataset = pytest.importorskip("webdataset")
IDS = ["id10270/x6uYqmx31kE/00001.wav", "plain-1", "a.b.c", "李/小龙", "x" * 300, "__meta__", "a_b", "a/b"]


def test_webdataset_reads_the_same_keys_bytes_and_json(tmp_path):
    corpus = manifest_of(tmp_path, write_corpus(tmp_path, IDS))
    packed = pack(corpus, tmp_path / "out", shard_size=0.05)
    paths = [str(tmp_path / "out" / name) for name in packed.index.shards]
    assert len(paths) > 2
    found = list(webdataset.WebDataset(paths, shardshuffle=False))
    assert [sample["__key__"] for sample in found] == [sample_name(each) for each in IDS]
    for utterance, sample in zip(corpus, found, strict=True):
        audio = {name: value for name, value in sample.items() if name[0] != "_" and name != "json"}
        assert audio == {utterance.wav.suffix[1:]: utterance.wav.read_bytes()}
        told = json.loads(sample["json"])
        assert (told["ID"], told["spk_id"], told["duration"]) == (utterance.id, utterance.spk_id, 0.5)
        assert told["session"] == utterance.fields["session"]
