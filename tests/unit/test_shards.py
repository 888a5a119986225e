"""Reading shards: the crops of the loose files, and what is wrong before anything is read."""

import multiprocessing
import shutil

import numpy as np
import pytest

from cmd_speaker.shards import reading
from cmd_speaker.shards.index import INDEX, load_index, sample_name, save_index
from cmd_speaker.shards.packing import pack
from cmd_speaker.shards.reading import Shards
from cmd_speaker.training.data import LooseFiles, TrainingCrops, open_audio
from tests.refusals import refused
from tests.shards import manifest_of, write_corpus

IDS = ["a/1.wav", "a/2.wav", "b/1.wav", "Jürgen", "x" * 200, "b.2", "c"]
LENGTH = 4000


@pytest.fixture
def corpus(tmp_path):
    """Seven utterances of 0.5 s, the last but one a segment of the last one's file, a wav."""
    rows = write_corpus(tmp_path, IDS)
    rows[5] = ("b.2", 0.25, rows[6][2], 4000, 8000, "s1", "")
    return manifest_of(tmp_path, rows)


@pytest.fixture
def folder(corpus, tmp_path):
    """The corpus in four shards or more."""
    packed = pack(corpus, tmp_path / "shards", shard_size=0.05)
    assert len(packed.index.shards) >= 3
    return tmp_path / "shards"


def crops_of(source, count=7, seeds=3):
    """Some crops of each of the first utterances."""
    draws = [(seed, k) for seed in range(seeds) for k in range(count)]
    return [source.crop(k, LENGTH, np.random.default_rng((seed, k))) for seed, k in draws]


def assert_equal_crops(a, b):
    for first, second in zip(a, b, strict=True):
        np.testing.assert_array_equal(first, second)


def test_crops_are_those_of_the_loose_files(corpus, folder):
    expected = crops_of(LooseFiles(corpus))
    for utterance in corpus:
        utterance.wav.unlink(missing_ok=True)
    source = open_audio(corpus, folder)
    assert isinstance(source, Shards)
    assert_equal_crops(crops_of(source), expected)
    assert {crop.dtype for crop in crops_of(source)} == {np.dtype(np.float32)}


def test_a_part_of_the_manifest_in_another_order(corpus, folder, tmp_path):
    rows = [line.split(",") for line in corpus.path.read_text().splitlines()[1:]]
    part = manifest_of(tmp_path, [rows[k] for k in (4, 0, 6)], "part.csv")
    assert_equal_crops(crops_of(Shards.open(folder, part), 3), crops_of(LooseFiles(part), 3))


def test_a_crop_needs_no_object_of_its_utterance(corpus, folder):
    """Looked at, a million of them would be copied into the memory of each worker."""
    source = Shards.open(folder, corpus)
    source.utterances = []
    assert_equal_crops(crops_of(source), crops_of(LooseFiles(corpus)))


def test_no_more_shards_are_open_than_a_process_may_have(corpus, folder, monkeypatch):
    monkeypatch.setattr(reading, "MOST_OPEN", 2)
    source = Shards.open(folder, corpus)
    assert_equal_crops(crops_of(source), crops_of(LooseFiles(corpus)))
    assert len(source._files) == 2


def in_a_process(source, connection, start):
    start.wait()
    connection.send(crops_of(source, seeds=40))


@pytest.mark.parametrize(("method", "number"), [("fork", 4), ("spawn", 1)])
def test_workers_read_beside_each_other(corpus, folder, method, number):
    source = Shards.open(folder, corpus)
    expected = crops_of(LooseFiles(corpus), seeds=40)
    assert_equal_crops(crops_of(source, seeds=40), expected)
    context = multiprocessing.get_context(method)
    pipes, start = [context.Pipe() for _ in range(number)], context.Barrier(number)
    workers = [
        context.Process(target=in_a_process, args=(source, pipe[1], start), daemon=True) for pipe in pipes
    ]
    for worker in workers:
        worker.start()
    for (here, _), worker in zip(pipes, workers, strict=True):
        assert here.poll(60), "a worker that failed sends nothing"
        assert_equal_crops(here.recv(), expected)
        worker.join()


def test_utterances_that_are_not_in_the_shards(folder, tmp_path):
    rows = write_corpus(tmp_path, [*IDS, "new", "newer"])
    rows[5] = ("b.2", 0.25, rows[6][2], 4000, 8000, "s1", "")
    more = manifest_of(tmp_path, rows, "more.csv")
    error = refused(lambda: Shards.open(folder, more), "2 of 9 utterances are not in", str(folder))
    assert "more.csv, row 9: no utterance 'new'" in str(error)
    assert "more.csv, row 10: no utterance 'newer'" in str(error)


def test_other_audio_under_the_same_id(folder, tmp_path):
    rows = write_corpus(tmp_path, IDS)
    rows[5] = ("b.2", 0.25, rows[6][2], 3000, 7000, "s1", "")
    rows[2] = (*rows[2][:1], 0.6, *rows[2][2:])
    rows[6] = (*rows[6][:3], 100, *rows[6][4:])
    other = manifest_of(tmp_path, rows, "other.csv")
    error = str(
        refused(lambda: Shards.open(folder, other), "3 of 7 utterances are others", "into another folder")
    )
    assert (
        "row 4: the shards hold other audio as 'b/1.wav' (expected 0.600 s from sample 0, found 0.500 s"
        in error
    )
    assert (
        "row 7: the shards hold other audio as 'b.2' (expected 0.250 s from sample 3000, found 0.250 s"
        in error
    )


def test_shards_that_are_missing_or_cut_off(corpus, folder):
    first, second = sorted(folder.glob("*.tar"))[:2]
    size = second.stat().st_size
    first.unlink()
    second.write_bytes(second.read_bytes()[:-512])
    error = str(refused(lambda: Shards.open(folder, corpus), "2 of 3 shards are wrong"))
    assert f"{first}: not the shard that the index describes" in error
    assert "found no such file" in error
    assert f"{second}: not the shard that the index describes (expected {size:,} bytes" in error
    assert f"found {size - 512:,} bytes" in error


def test_shards_that_are_not_needed_are_not_looked_for(corpus, folder, tmp_path):
    sorted(folder.glob("*.tar"))[-1].unlink()
    rows = [line.split(",") for line in corpus.path.read_text().splitlines()[1:]]
    part = manifest_of(tmp_path, rows[:2], "part.csv")
    assert len(crops_of(Shards.open(folder, part), 2)) == 6


def test_the_index_of_other_shards(corpus, folder, tmp_path):
    """Another order: every shard has its size, its samples are others."""
    rows = write_corpus(tmp_path / "same", ["p", "q", "r", "s", "t", "u"])
    wavs = [(row[0], row[1], rows[0][2], *row[3:]) for row in rows]
    forward, backward = (manifest_of(tmp_path / "same", each, f"{k}.csv") for k, each in
                         enumerate((wavs, wavs[::-1])))  # fmt: skip
    for number, each in enumerate((forward, backward)):
        pack(each, tmp_path / f"{number}", shard_size=0.05)
    for shard in (tmp_path / "1").glob("*.tar"):
        shutil.copy(shard, tmp_path / "0" / shard.name.replace("1-", "0-"))
    sizes = load_index(tmp_path / "0").sizes
    assert [path.stat().st_size for path in sorted((tmp_path / "0").glob("*.tar"))] == sizes
    error = refused(lambda: Shards.open(tmp_path / "0", forward), "3 of 3 shards are wrong")
    assert "found something else in the place of 'p'" in str(error)


def test_folders_that_cannot_be_read_from(corpus, folder, tmp_path):
    assert refused(lambda: Shards.open(tmp_path / "none", corpus), "no index of shards", "no such folder")
    assert refused(lambda: Shards.open(tmp_path, corpus), "no index of shards", "cmd-speaker pack")
    index = load_index(folder)
    save_index(index.first_shards(1), folder)
    message = refused(lambda: Shards.open(folder, corpus), "not finished", "expected 7 rows", "again")
    assert f"found {index.until[0]}" in str(message)
    content = (folder / INDEX).read_bytes()
    (folder / INDEX).write_bytes(content[: len(content) // 2])
    assert refused(lambda: Shards.open(folder, corpus), str(folder / INDEX), "not an index of shards")


def test_an_index_of_another_version(folder, monkeypatch):
    index = load_index(folder)
    with monkeypatch.context() as patch:
        patch.setattr("cmd_speaker.shards.index.VERSION", 2)
        save_index(index, folder)
    assert refused(lambda: load_index(folder), "another version", "expected format 1, found 2")


def test_what_is_damaged_within_a_shard_is_named_with_its_row(corpus, folder):
    source = Shards.open(folder, corpus)
    shard, offset, _ = source.places[3].tolist()
    with source.paths[shard].open("r+b") as file:
        file.seek(offset)
        file.write(bytes(100))
    crops = TrainingCrops(corpus, corpus.label_map(), [], 0.25, 1, source)
    assert crops[2][0].shape == (LENGTH,)
    name = sample_name(corpus.utterances[3].id)
    assert refused(lambda: crops[3], "row 5", str(source.paths[shard] / name), "not readable as audio")
