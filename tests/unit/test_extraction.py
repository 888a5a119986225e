"""Extraction in parts: gone on with, shared out, joined, and refused where it does not fit."""

import os
import shutil

import numpy as np
import pytest

import cmd_speaker.extraction
from cmd_speaker.embeddings import load_embeddings
from cmd_speaker.errors import DataErrors
from cmd_speaker.extraction import LEFT_OUT, Shard, extract, parts_folder
from cmd_speaker.hearing import Hearing
from cmd_speaker.inputs import find_inputs
from cmd_speaker.manifest import Utterance
from tests.models import small_model, write_noise
from tests.refusals import refused

FILES = 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    small_model().save(folder)
    return folder


@pytest.fixture
def model(folder):
    from cmd_speaker.model import SpeakerModel

    return SpeakerModel.load(folder)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(cmd_speaker.extraction, "PART", 3)


@pytest.fixture
def audio(tmp_path):
    """Ten files: parts of 3, 3, 3 and 1."""
    for number in range(FILES):
        write_noise(tmp_path / "audio" / f"{number}.wav", 0.3 + 0.1 * (number % 4), number)
    return tmp_path / "audio"


@pytest.fixture
def inputs(audio):
    return find_inputs([str(audio)])


def counted(model, monkeypatch):
    """The ids that are embedded from now on, in order."""
    embedded, embed = [], model.embed_utterances

    def count(utterances, *rest, **options):
        embedded.extend(each.id for each in utterances)
        return embed(utterances, *rest, **options)

    monkeypatch.setattr(model, "embed_utterances", count)
    return embedded


def break_off(model, inputs, out, monkeypatch, after):
    """An extraction that ends, as by a kill, when so many parts are written."""
    save, written = cmd_speaker.extraction.save_part, []

    def save_some(path, part):
        if len(written) == after:
            raise KeyboardInterrupt
        save(path, part)
        written.append(path)

    with monkeypatch.context() as patch:
        patch.setattr(cmd_speaker.extraction, "save_part", save_some)
        with pytest.raises(KeyboardInterrupt):
            extract(model, inputs, out)


def test_in_order_with_the_embeddings_of_the_single_files(model, inputs, tmp_path):
    done = extract(model, inputs, tmp_path / "e.npz")
    written = load_embeddings(tmp_path / "e.npz")
    assert written.ids == [f"{number}.wav" for number in range(FILES)]
    assert written.model == model.checksum
    for each, vector in zip(inputs.utterances, written.vectors, strict=True):
        np.testing.assert_allclose(vector, model.embed(each.wav), rtol=0, atol=1e-5)
    assert not parts_folder(tmp_path / "e.npz").exists()
    # 0.3 + 0.1 * (n % 4) seconds: twice 0.3, 0.4, 0.5 and 0.6, and once more 0.3 and 0.4.
    assert (done.files, done.seconds) == (FILES, pytest.approx(4.3))
    assert "files/s" in done.speed


@pytest.mark.parametrize("after", [0, 1, 3])
def test_goes_on_where_it_was_broken_off(model, inputs, tmp_path, monkeypatch, after):
    extract(model, inputs, tmp_path / "unbroken.npz")
    break_off(model, inputs, tmp_path / "e.npz", monkeypatch, after)
    assert not (tmp_path / "e.npz").exists()
    again = counted(model, monkeypatch)
    done = extract(model, inputs, tmp_path / "e.npz")
    assert again == [f"{number}.wav" for number in range(3 * after, FILES)]
    assert done.files == FILES - 3 * after
    assert (tmp_path / "e.npz").read_bytes() == (tmp_path / "unbroken.npz").read_bytes()


@pytest.mark.parametrize("count", [2, 3, 9])
def test_shares_are_joined_by_the_last(model, inputs, tmp_path, count):
    extract(model, inputs, tmp_path / "alone.npz")
    out = tmp_path / "e.npz"
    found = [extract(model, inputs, out, shard=Shard(number, count)) for number in range(1, count + 1)]
    # Of four parts; who comes after the last of them finds nothing to do.
    last = min(count, 4)
    assert [each.embeddings is not None for each in found] == [k == last - 1 for k in range(count)]
    assert sum(each.files for each in found) == FILES
    assert out.read_bytes() == (tmp_path / "alone.npz").read_bytes()
    assert not parts_folder(out).exists()


def test_parts_of_other_machines_are_joined_where_the_audio_is_not(model, inputs, audio, tmp_path):
    extract(model, inputs, tmp_path / "alone.npz")
    for number in (1, 2):
        extract(model, inputs, tmp_path / f"machine{number}" / "e.npz", shard=Shard(number, 2))
    out = tmp_path / "e.npz"
    for number in (1, 2):
        parts = parts_folder(tmp_path / f"machine{number}" / "e.npz")
        shutil.copytree(parts, parts_folder(out), dirs_exist_ok=True)
    shutil.rmtree(audio)
    done = extract(model, inputs, out)
    assert (done.files, done.missing) == (0, 0)
    assert out.read_bytes() == (tmp_path / "alone.npz").read_bytes()


def test_bad_files_are_left_out_and_looked_at_again_once_mended(model, inputs, audio, tmp_path, monkeypatch):
    extract(model, inputs, tmp_path / "good.npz")
    good = (audio / "4.wav").read_bytes()
    (audio / "4.wav").write_bytes(good[:100])
    (audio / "9.wav").rename(tmp_path / "9.wav")
    done = extract(model, inputs, tmp_path / "e.npz")
    assert [os.path.basename(str(error.file)) for error in done.errors] == ["4.wav", "9.wav"]
    left = [f"{number}.wav" for number in range(FILES) if number not in (4, 9)]
    assert load_embeddings(tmp_path / "e.npz").ids == left
    again = counted(model, monkeypatch)
    assert [str(error) for error in extract(model, inputs, tmp_path / "e.npz").errors] == [
        str(error) for error in done.errors
    ]
    assert again == []
    (audio / "4.wav").write_bytes(good)
    (tmp_path / "9.wav").rename(audio / "9.wav")
    assert extract(model, inputs, tmp_path / "e.npz").errors == []
    assert again == ["3.wav", "4.wav", "5.wav", "9.wav"]
    assert (tmp_path / "e.npz").read_bytes() == (tmp_path / "good.npz").read_bytes()
    assert not parts_folder(tmp_path / "e.npz").exists()


def test_a_file_of_the_same_size_that_was_changed_is_embedded_again(
    model, inputs, audio, tmp_path, monkeypatch
):
    break_off(model, inputs, tmp_path / "e.npz", monkeypatch, after=2)
    write_noise(audio / "0.wav", 0.3, seed=77)
    again = counted(model, monkeypatch)
    extract(model, inputs, tmp_path / "e.npz")
    assert again[:3] == ["0.wav", "1.wav", "2.wav"]
    assert "3.wav" not in again


def test_nothing_at_all(model, inputs, audio, tmp_path):
    for path in audio.iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataErrors, match="no utterance could be embedded") as caught:
        extract(model, inputs, tmp_path / "e.npz")
    assert len(caught.value.errors) == FILES
    assert not (tmp_path / "e.npz").exists()
    assert not parts_folder(tmp_path / "e.npz").exists()


def test_parts_of_something_else_are_refused(model, inputs, audio, tmp_path, monkeypatch):
    out = tmp_path / "e.npz"
    break_off(model, inputs, out, monkeypatch, after=2)
    before = sorted(parts_folder(out).iterdir())
    other = small_model(seed=1)
    other.save(tmp_path / "other")
    assert refused(lambda: extract(other, inputs, out), "e.npz.parts", "another model", "Delete")
    assert refused(lambda: extract(model, inputs, out, Hearing(window=0.2)), "another window")
    fewer = inputs._replace(utterances=inputs.utterances[1:])
    assert refused(lambda: extract(model, fewer, out), "another list", "9 utterances")
    assert sorted(parts_folder(out).iterdir()) == before


def test_a_part_that_slipped_in_is_refused(model, inputs, tmp_path, monkeypatch):
    """Copied from the extraction of another model, where the settings are this one's."""
    other = small_model(seed=1)
    other.save(tmp_path / "other")
    for each, out in ((model, "e.npz"), (other, "o.npz")):
        break_off(each, inputs, tmp_path / out, monkeypatch, after=1)
    name = "000000000.npz"
    shutil.copy(parts_folder(tmp_path / "o.npz") / name, parts_folder(tmp_path / "e.npz") / name)
    assert refused(
        lambda: extract(model, inputs, tmp_path / "e.npz"), name, "does not belong here", "Delete it"
    )


def test_a_damaged_part_is_refused(model, inputs, tmp_path, monkeypatch):
    break_off(model, inputs, tmp_path / "e.npz", monkeypatch, after=1)
    part = parts_folder(tmp_path / "e.npz") / "000000000.npz"
    part.write_bytes(part.read_bytes()[:-200])
    assert refused(lambda: extract(model, inputs, tmp_path / "e.npz"), "000000000.npz", "damaged")


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "a/b", "1/0", "-1/4", "1/4/2", ""])
def test_what_is_no_share(text):
    assert refused(lambda: Shard.parse(text), "--shard")


def test_whose_share_it_is():
    assert Shard.parse("2/3") == Shard(2, 3)
    assert Shard.of_process({"RANK": "1", "WORLD_SIZE": "4"}) == Shard(2, 4)
    assert Shard.of_process({}) == Shard(1, 1)


def test_another_folder_with_the_same_names_and_sizes_is_not_mixed_in(model, inputs, tmp_path, monkeypatch):
    """Such as the noisy version of a corpus, which was made before."""
    for number in range(FILES):
        path = write_noise(tmp_path / "noisy" / f"{number}.wav", 0.3 + 0.1 * (number % 4), 100 + number)
        os.utime(path, (1, 1))
    noisy = find_inputs([str(tmp_path / "noisy")])
    extract(model, noisy, tmp_path / "alone.npz")
    break_off(model, inputs, tmp_path / "e.npz", monkeypatch, after=2)
    extract(model, noisy, tmp_path / "e.npz")
    assert (tmp_path / "e.npz").read_bytes() == (tmp_path / "alone.npz").read_bytes()


def test_copies_that_keep_the_times_are_the_same_audio(model, inputs, audio, tmp_path, monkeypatch):
    """To the second, as tar and scp do."""
    break_off(model, inputs, tmp_path / "e.npz", monkeypatch, after=2)
    shutil.copytree(audio, tmp_path / "copy")
    for path in (tmp_path / "copy").iterdir():
        os.utime(path, ns=(0, path.stat().st_mtime_ns // 10**9 * 10**9))
    again = counted(model, monkeypatch)
    extract(model, find_inputs([str(tmp_path / "copy")]), tmp_path / "e.npz")
    assert again == ["6.wav", "7.wav", "8.wav", "9.wav"]


def test_a_second_call_of_the_same_that_joins_first(model, inputs, tmp_path, monkeypatch):
    out, embed, calls = tmp_path / "e.npz", model.embed_utterances, []

    def embed_and_be_overtaken(utterances, *rest, **options):
        calls.append(len(utterances))
        if len(calls) == 2:
            assert extract(model, inputs, out).embeddings is not None
        return embed(utterances, *rest, **options)

    monkeypatch.setattr(model, "embed_utterances", embed_and_be_overtaken)
    done = extract(model, inputs, out)
    assert (done.embeddings, done.missing) == (None, 0)
    assert len(load_embeddings(out)) == FILES
    assert not parts_folder(out).exists(), "left behind, half full"


def test_what_cannot_be_written_is_known_before_anything_is_embedded(model, inputs, tmp_path, monkeypatch):
    embedded = counted(model, monkeypatch)
    (tmp_path / "taken.npz").mkdir()
    assert refused(lambda: extract(model, inputs, tmp_path / "taken.npz"), "taken.npz", "a folder")
    (tmp_path / "wav.scp").write_text("a a.wav\n")
    from_list = inputs._replace(list_path=tmp_path / "wav.scp")
    assert refused(lambda: extract(model, from_list, tmp_path / "wav.scp"), "would be overwritten")
    two_words = inputs._replace(utterances=[Utterance("two words", inputs.utterances[0].wav)])
    for name in ("e.ark", "e.scp"):
        assert refused(lambda name=name: extract(model, two_words, tmp_path / name), "'two words'")
    assert embedded == []
    assert not list(tmp_path.glob("*.parts"))


def test_all_that_was_left_out_is_listed(model, inputs, tmp_path):
    """Also a path that the system does not take."""
    bad = [Utterance(str(k), tmp_path / f"{k}\0.wav") for k in range(25)]
    done = extract(model, inputs._replace(utterances=[*inputs.utterances, *bad]), tmp_path / "e.npz")
    assert len(load_embeddings(tmp_path / "e.npz")) == FILES
    listed = (parts_folder(tmp_path / "e.npz") / LEFT_OUT).read_text().splitlines()
    assert listed == [str(error) for error in done.errors]
    assert len(listed) == 25


def test_recordings_in_windows_are_written_sooner(model, inputs, tmp_path, monkeypatch):
    monkeypatch.setattr(cmd_speaker.extraction, "LONG_PART", 1)
    saved, save = [], cmd_speaker.extraction.save_part
    monkeypatch.setattr(
        cmd_speaker.extraction, "save_part", lambda path, part: (saved.append(part.names), save(path, part))
    )
    extract(model, inputs, tmp_path / "e.npz", Hearing(window=0.2))
    assert saved == [[each.id] for each in inputs.utterances]


@pytest.mark.parametrize(("rank", "count"), [("x", "2"), ("", ""), ("2", "2"), ("-1", "2"), ("0", "")])
def test_what_torchrun_would_not_set(rank, count):
    assert refused(lambda: Shard.of_process({"RANK": rank, "WORLD_SIZE": count}), "RANK", f"'{rank}'")
