"""Descriptions and faces of VoxCeleb's speakers: nobody's name in a text, the most specific folder of faces."""

import csv
import re

import pytest

from cmd_speaker.manifest import load_manifest
from data_prep.voxceleb import prepare
from data_prep.voxceleb.faces import FaceFolders
from data_prep.voxceleb.metadata import Speaker, describe, read_metadata
from tests.refusals import refused
from tests.voxceleb import write_tree

# Real rows of the three files, with their separators.
VOX1_META = """\
VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet
id10001\tA.J._Buckley\tm\tIreland\tdev
id10002\tA.R._Rahman\tm\tIndia\tdev
id10003\tAamir_Khan\tm\tIndia\tdev
id10270\tEartha_Kitt\tf\tUSA\ttest
"""
VOX2_META_NAMED = """\
Name \tVoxCeleb2 ID \tVGGFace2 ID \tGender \tSet 
Aaron_Ashmore \tid00012 \tn000012 \tm \tdev 
Aaron_Motsoaledi \tid00015 \tn000015 \tm \tdev 
"""
VOX2_META = """\
VoxCeleb2 ID,VGGFace2 ID,Gender,Set
id00012 ,n000012 ,m ,dev 
id00022 ,n000022 ,f ,dev 
"""
IRISH = Speaker("m", "Ireland", False, "A.J._Buckley")


@pytest.fixture
def tree(tmp_path):
    return write_tree(tmp_path / "data")


@pytest.fixture
def meta(tmp_path):
    """Paths of the three files, by name."""
    texts = {"vox1.csv": VOX1_META, "vox2_named.csv": VOX2_META_NAMED, "vox2.csv": VOX2_META}
    paths = {name: tmp_path / name for name in texts}
    for name, text in texts.items():
        paths[name].write_text(text, encoding="utf-8")
    return paths


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\xff\xd8")


def test_each_files_separator(meta):
    assert read_metadata([meta["vox1.csv"]])["id10001"] == IRISH
    assert read_metadata([meta["vox1.csv"]])["id10270"].is_test
    assert read_metadata([meta["vox2_named.csv"]])["id00012"] == Speaker("m", "", False, "n000012")
    assert read_metadata([meta["vox2.csv"]])["id00022"] == Speaker("f", "", False, "n000022")


def test_descriptions():
    texts = [
        describe(Speaker(*who, False, "")) for who in (("m", "Ireland"), ("f", "USA"), ("f", "UK"), ("f", ""))
    ]
    assert texts == ["A man from Ireland.", "A woman from the USA.", "A woman from the UK.", "A woman."]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("id10002", "10002", "row 3: bad speaker (expected an id like id10001, found '10002')"),
        ("id10002", "id10001", "expected each speaker once, found 'id10001' again"),
        ("\tf\tUSA", "\tw\tUSA", "expected the gender m or f of id10270, found 'w'"),
        ("\ttest", "\tvalid", "expected dev or test for id10270, found 'valid'"),
        ("\tm\tIreland\tdev", "\tm", "row 2: bad speaker (expected dev or test for id10001, found '')"),
        ("\tGender", "\tSex", "not VoxCeleb's metadata"),
        ("VoxCeleb1 ID", "Speaker", "found Speaker, VGGFace1 ID, Gender, Nationality, Set"),
    ],
)
def test_wrong_metadata(meta, old, new, expected):
    path = meta["vox1.csv"]
    path.write_text(VOX1_META.replace(old, new))
    assert refused(lambda: read_metadata([path]), str(path), expected)


def test_metadata_that_cannot_be_read(tmp_path):
    assert refused(lambda: read_metadata([tmp_path / "none.csv"]), "the metadata cannot be read")
    (tmp_path / "empty.csv").touch()
    assert refused(lambda: read_metadata([tmp_path / "empty.csv"]), "found an empty file")


def test_real_metadata(shared_data):
    lists = shared_data / "voxceleb_lists"
    if not lists.is_dir():
        pytest.skip(f"the lists are not there: {lists}")
    first = read_metadata([lists / "vox1_meta.csv"])
    named, plain = (read_metadata([lists / name]) for name in ("vox2_meta.openslr49.csv", "vox2_meta.csv"))
    assert named == plain
    assert (len(first), len(plain)) == (1251, 6114)
    assert [sum(s.is_test for s in file.values()) for file in (first, plain)] == [40, 120]
    assert all(re.fullmatch(r"n\d{6}", speaker.face) for speaker in plain.values())
    assert {describe(speaker) for speaker in plain.values()} == {"A man.", "A woman."}
    texts = {describe(speaker) for speaker in first.values()}
    assert all(re.fullmatch(r"A (man|woman) from (the )?[A-Z][A-Za-z ]+\.", text) for text in texts)
    assert {"A man from Ireland.", "A woman from the UK.", "A woman from Trinidad and Tobago."} & texts


def test_texts_reach_training_and_validation_only_and_no_name_anything(tree, meta, tmp_path):
    prepared = prepare(
        tree, tmp_path / "out", "both", metadata=[meta["vox1.csv"], meta["vox2.csv"]], valid_speakers=2
    )
    train, valid, test = (load_manifest(p, tree) for p in (prepared.train, prepared.valid, prepared.test))
    fields = {u.spk_id: u.fields for manifest in (train, valid, test) for u in manifest}
    assert fields["id10001"]["text"] == "A man from Ireland."
    assert (fields["id10001"]["gender"], fields["id10001"]["nationality"]) == ("m", "Ireland")
    assert fields["id00022"]["text"] == "A woman."
    assert fields["id10004"]["text"] == "", "nothing is known about them"
    assert fields["id10270"] == {"session": "x6uYqmx31kE", "gender": "f", "nationality": "USA"}
    assert "4 speakers without metadata, the first is id00015" not in prepared.notes
    assert "7 speakers without metadata, the first is id00015" in prepared.notes
    written = "".join(path.read_text() for path in (tmp_path / "out").iterdir() if path.is_file())
    assert not re.search("Buckley|Rahman|Khan|Kitt", written)


def test_a_speaker_whom_the_metadata_call_test_is_not_trained_on(tree, meta, tmp_path):
    meta["vox1.csv"].write_text(VOX1_META.replace("India\tdev\nid10003", "India\ttest\nid10003"))
    prepared = prepare(tree, tmp_path / "out", "vox1", metadata=[meta["vox1.csv"]], valid_speakers=0)
    assert "id10002" not in load_manifest(prepared.train, tree).speakers


def test_faces_by_id_name_the_most_specific_folder(tmp_path):
    faces = tmp_path / "data" / "faces"
    picture(faces / "id10001" / "1zcIwhmdeo4" / "00001" / "0001.jpg")
    picture(faces / "id10001" / "7gWzIy6yIIk" / "0001.PNG")
    picture(faces / "id10002" / "1zcIwhmdeo4" / "00002" / "0001.jpg")
    (faces / "id10003" / "1zcIwhmdeo4").mkdir(parents=True)
    found = FaceFolders([faces], {}, tmp_path / "data").nearest
    root = "$data_root/faces"
    assert found("id10001/1zcIwhmdeo4/00001.wav") == ("utterance", f"{root}/id10001/1zcIwhmdeo4/00001")
    assert found("id10001/1zcIwhmdeo4/00002.wav") == ("session", f"{root}/id10001/1zcIwhmdeo4")
    assert found("id10001/7gWzIy6yIIk/00001.wav") == ("session", f"{root}/id10001/7gWzIy6yIIk")
    assert found("id10001/xTV-jFAUKcw/00001.wav") == ("identity", f"{root}/id10001")
    assert found("id10002/7gWzIy6yIIk/00001.wav") == ("identity", f"{root}/id10002")
    assert found("id10003/1zcIwhmdeo4/00001.wav") == ("", ""), "folders without pictures"
    assert found("id10004/1zcIwhmdeo4/00001.wav") == ("", "")


def test_faces_by_name_and_of_vggface2(meta, tmp_path):
    known = read_metadata([meta["vox1.csv"], meta["vox2.csv"]])
    by_name = tmp_path / "unzippedFaces" / "A.J._Buckley" / "1.6" / "1zcIwhmdeo4"
    picture(by_name / "0000025.jpg")
    vggface2 = tmp_path / "vggface2" / "train" / "n000012"
    picture(vggface2 / "0001_01.jpg")
    (tmp_path / "data").mkdir()
    found = FaceFolders([tmp_path / "unzippedFaces", tmp_path / "vggface2"], known, tmp_path / "data").nearest
    assert found("id10001/1zcIwhmdeo4/00001.wav") == ("session", str(by_name))
    assert found("id10001/7gWzIy6yIIk/00001.wav") == ("identity", str(by_name.parents[1]))
    assert found("id00012/21Uxsk56VDQ/00001.wav") == ("identity", str(vggface2))
    assert found("id10002/1zcIwhmdeo4/00001.wav") == ("", "")


def test_the_videos_of_voxceleb2(tmp_path):
    folder = tmp_path / "dev" / "mp4" / "id00012" / "21Uxsk56VDQ"
    picture(folder / "00001.mp4")
    (folder.parent / "2DLq_Kkc1r8").mkdir()
    (folder.parent / "2DLq_Kkc1r8" / "00001").touch()
    found = FaceFolders([tmp_path / "dev"], {}, tmp_path).nearest
    root = "$data_root/dev/mp4/id00012"
    assert found("id00012/21Uxsk56VDQ/00001.wav") == ("utterance", f"{root}/21Uxsk56VDQ/00001.mp4")
    assert found("id00012/21Uxsk56VDQ/00002.wav") == ("session", f"{root}/21Uxsk56VDQ")
    assert found("id00012/2DLq_Kkc1r8/00001.wav") == ("identity", root), "a file is no folder of pictures"


def test_an_utterances_faces_come_before_a_sessions_in_another_folder(tmp_path):
    picture(tmp_path / "a" / "id10001" / "1zcIwhmdeo4" / "1.jpg")
    picture(tmp_path / "b" / "id10001" / "1zcIwhmdeo4" / "00001" / "1.jpg")
    found = FaceFolders([tmp_path / "a", tmp_path / "b"], {}, tmp_path / "none").nearest
    assert found("id10001/1zcIwhmdeo4/00001.wav")[0] == "utterance"
    assert found("id10001/1zcIwhmdeo4/00002.wav") == (
        "session",
        str(tmp_path / "a" / "id10001" / "1zcIwhmdeo4"),
    )


def test_faces_that_cannot_be_linked(tmp_path):
    picture(tmp_path / "vggface2" / "n000012" / "1.jpg")
    picture(tmp_path / "unzippedFaces" / "A.J._Buckley" / "1.6" / "1zcIwhmdeo4" / "1.jpg")
    (tmp_path / "holiday").mkdir()
    for name, parts in {
        "vggface2": ("bear no id of VoxCeleb", "Give vox2_meta.csv"),
        "unzippedFaces": ("bear no id of VoxCeleb", "Give vox1_meta.csv"),
        "holiday": ("no folders of faces", "found nothing in"),
        "none": ("no such folder of faces",),
    }.items():
        assert refused(lambda name=name: FaceFolders([tmp_path / name], {}, tmp_path), *parts)


def test_face_column_and_its_coverage(tree, tmp_path):
    faces = tmp_path / "faces"
    for speaker in ("id10001", "id10002", "id10270"):
        picture(faces / speaker / "1zcIwhmdeo4" / "1.jpg")
    picture(faces / "id10003" / "1zcIwhmdeo4" / "00001" / "1.jpg")
    prepared = prepare(tree, tmp_path / "out", "vox1", faces=[faces], valid_speakers=0)
    # id10003: 1 utterance, 1 of its session, 2 others; id10001 and id10002: 2 of the session, 2 others each.
    expected = {"face_of_utterance": 1, "face_of_session": 5, "face_of_identity": 6, "no_face": 8}
    assert {name: prepared.counts[f"train_{name}"] for name in expected} == expected
    assert "2 speakers without a face, the first is id10004" in prepared.notes
    with prepared.train.open() as file:
        rows = {row["ID"]: row["face"] for row in csv.DictReader(file)}
    assert rows["id10002/1zcIwhmdeo4/00002.wav"] == str(faces / "id10002" / "1zcIwhmdeo4")
    assert rows["id10004/1zcIwhmdeo4/00002.wav"] == ""
    assert "face" not in prepared.test.read_text().splitlines()[0]
