"""`check-data voxceleb`: counts, layouts and headers of trees in VoxCeleb's form."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from cmd_speaker.corpora import check_data, voxceleb, voxceleb_tree
from cmd_speaker.corpora.voxceleb import VOX1_TEST, VOX2_TEST, Part, part_of
from cmd_speaker.corpora.voxceleb_tree import Recording, scan
from cmd_speaker.errors import DataError
from tests.voxceleb import (
    TEST_NAMES,
    VOX1_SPEAKERS,
    VOX2_SPEAKERS,
    names_of,
    write_audio,
    write_files,
    write_tree,
)


@pytest.fixture
def tree(tmp_path):
    return write_tree(tmp_path / "data")


def rows_of(root, **options):
    """What was looked at -> status and what was found, of the last such row."""
    return {row.what: (row.status, row.found) for row in check_data("voxceleb", root, **options).rows}


def test_a_part_of_the_corpora_is_a_note(tree):
    report = check_data("voxceleb", tree)
    assert report.ok
    assert [row[1:] for row in report.rows] == [
        ("1,211 speakers, 148,642 utterances", "5 speakers, 20 utterances (a part)", "note"),
        ("40 speakers, 4,874 utterances", "4 speakers, 7 utterances (a part)", "note"),
        ("5,994 speakers, 1,092,009 utterances", "4 speakers, 16 utterances (a part)", "note"),
        ("118 speakers, 36,237 utterances", "none", "note"),
        ("all have a readable header, 16000 Hz, mono", "43 good, 0 bad", "ok"),
    ]


def test_whole_and_too_large_parts(tree, monkeypatch):
    for size, status in ((Part(4, 7), "ok"), (Part(4, 6), "problem"), (Part(3, 7), "problem")):
        monkeypatch.setitem(voxceleb.PARTS, "VoxCeleb1 test", size)
        assert rows_of(tree)["VoxCeleb1 test"] == (status, "4 speakers, 7 utterances")


def test_test_speakers_are_those_of_the_metadata(shared_data):
    lists = shared_data / "voxceleb_lists"
    if not lists.is_dir():
        pytest.skip(f"the lists are not there: {lists}")
    for file, identity, test in (("vox1_meta.csv", 0, VOX1_TEST), ("vox2_meta.openslr49.csv", 1, VOX2_TEST)):
        rows = [
            [v.strip() for v in line.split("\t")] for line in (lists / file).read_text("utf-8").splitlines()
        ]
        assert {row[identity] for row in rows if row[-1] == "test"} == test
    in_list = {line.split()[1].split("/")[0] for line in (lists / "veri_test2.txt").read_text().splitlines()}
    assert in_list == VOX1_TEST


def test_parts_of_speakers():
    speakers = ("id10269", "id10270", "id10309", "id10310", "id00012", "id00017")
    assert [part_of(speaker) for speaker in speakers] == [
        "VoxCeleb1 dev", "VoxCeleb1 test", "VoxCeleb1 test", "VoxCeleb1 dev", "VoxCeleb2 dev", "VoxCeleb2 test",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("place", "names"),
    [
        ("", TEST_NAMES),
        ("wav", TEST_NAMES),
        ("vox1/vox1_test_wav/wav", TEST_NAMES),
        ("vox2_dev_aac/dev/flac", names_of(VOX2_SPEAKERS)),
    ],
)
def test_folders_of_speakers_at_any_accepted_depth(tmp_path, place, names):
    root = tmp_path / "data"
    write_files(root / place, names)
    found = scan(root).recordings
    assert [recording.name for recording in found] == names
    assert found[0] == Recording(names[0], f"{place}/{names[0]}".lstrip("/"), 8000)
    assert (found[0].speaker, found[0].session) == tuple(names[0].split("/")[:2])


def test_layouts_one_level_too_deep_or_too_far_below(tree):
    wav = tree / "vox1_dev_wav" / "wav"
    status, found = rows_of(wav / "id10001")["layout"]
    assert status == "problem"
    assert f"a folder inside a speaker's: too deep). Give {wav}, or a folder above it" in found
    assert f"Give {wav}," in rows_of(wav / "id10001" / "1zcIwhmdeo4")["layout"][1]
    shutil.move(tree, tree.parent / "a" / "b")
    _, found = rows_of(tree.parent)["layout"]
    flac = tree.parent / "a" / "b" / "dev" / "flac"
    assert f"they lie too far below it, in {flac}). Give {flac}, or at most 3 folders above it" in found
    (tree.parent / "holiday").mkdir()
    assert "found nothing in" in rows_of(tree.parent / "holiday")["layout"][1]


def test_audio_at_another_level(tree):
    wav = tree / "vox1_dev_wav" / "wav"
    write_audio(wav / "id10001" / "00001.wav")
    write_audio(wav / "id10002" / "1zcIwhmdeo4" / "00003" / "00003.wav")
    expected = "2 audio files one level higher or lower, the first vox1_dev_wav/wav/id10001/00001.wav. "
    assert rows_of(tree)["layout"] == ("problem", f"{expected}Unpack the archives again")


def test_m4a_that_is_not_converted(tree):
    packed = tree / "dev" / "aac" / "id00012" / "1zcIwhmdeo4"
    packed.mkdir(parents=True)
    (packed / "00004.m4a").touch()
    (packed / "00005.m4a").touch()
    write_audio(packed / "00003.flac")
    (packed / "00003.m4a").touch()
    (packed / "00001.m4a").touch()  # and dev/flac has it
    status, found = rows_of(tree)["not converted"]
    assert status == "problem"
    assert found.startswith("2 m4a files without one. Run python -m data_prep.voxceleb convert")


def test_corpora_mixed_up_in_one_folder(tree):
    write_files(tree / "vox1_dev_wav" / "wav", ["id00012/21Uxsk56VDQ/00001.wav"])
    status, found = rows_of(tree)["mixed up"]
    assert status == "problem"
    assert found.startswith(
        f"5 speakers of VoxCeleb1 and 1 of VoxCeleb2 in {tree / 'vox1_dev_wav' / 'wav'}. Move"
    )


def test_pictures_of_both_corpora_may_lie_in_one_folder(tree):
    for speaker in ("id10001", "id00012"):
        (tree / "faces" / speaker / "1zcIwhmdeo4").mkdir(parents=True)
        (tree / "faces" / speaker / "1zcIwhmdeo4" / "00001.jpg").touch()
    assert check_data("voxceleb", tree).ok


def test_one_utterance_twice(tree):
    write_files(tree / "dev" / "wav", names_of(VOX2_SPEAKERS[:1]))
    status, found = rows_of(tree)["audio twice"]
    assert status == "problem"
    assert found.startswith("4 utterances again, the first dev/wav/id00012/1zcIwhmdeo4/00001.wav")


def test_bad_files_are_named_and_the_rest_is_read(tree):
    folder = tree / "vox1_dev_wav" / "wav" / "id10001" / "1zcIwhmdeo4"
    (folder / "00003.wav").write_bytes(b"")
    write_audio(folder / "00004.wav", rate=8000)
    write_audio(folder / "00005.wav", samples=800)
    (folder / ".00006.flac.123.tmp").write_bytes(b"fLaC")
    (folder / "._00001.wav").write_bytes(b"what macOS leaves")
    report = check_data("voxceleb", tree)
    summary, *errors = report.problems
    assert summary.found == "43 good, 3 bad"
    assert [row.found.partition(" (")[0] for row in errors] == [
        f"{folder / '00003.wav'}: the file is empty",
        f"{folder / '00004.wav'}: not fit for use",
        f"{folder / '00005.wav'}: not fit for use",
    ]
    assert rows_of(tree)["VoxCeleb1 dev"] == ("note", "5 speakers, 23 utterances (a part)")


def test_headers_alone_are_read_unless_full(tree, monkeypatch):
    path = tree / "dev" / "flac" / "id00012" / "1zcIwhmdeo4" / "00001.flac"
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[: len(content) // 2])
    assert check_data("voxceleb", tree).ok
    summary, error = check_data("voxceleb", tree, full=True).problems
    assert summary.found == "42 good, 1 bad"
    assert "decoding failed" in error.found


def test_no_folder(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        scan(tmp_path / "none")


def test_speakers_that_are_not_wanted_are_not_read(tree):
    assert {r.speaker for r in scan(tree, VOX1_SPEAKERS.__contains__).recordings} == set(VOX1_SPEAKERS)


@pytest.mark.parametrize(("waiting", "threads"), [(-1.0, 32), (float("inf"), 1)])
def test_a_slow_disk_is_read_by_many_threads(tree, monkeypatch, waiting, threads):
    """From the second speaker on; what is found and its order are the same."""
    started = []

    class Pool(ThreadPoolExecutor):
        def __init__(self, number):
            started.append(number)
            super().__init__(number)

    expected = scan(tree)
    assert len({recording.speaker for recording in expected.recordings}) > 2
    monkeypatch.setattr(voxceleb_tree, "ThreadPoolExecutor", Pool)
    monkeypatch.setattr(voxceleb_tree, "FIRST_FOLDERS", 1)
    monkeypatch.setattr(voxceleb_tree, "WAITING", waiting)
    assert scan(tree) == expected
    assert started == [threads]
