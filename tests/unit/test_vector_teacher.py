"""A teacher made of vectors that were computed elsewhere, and a table of whose they are."""

import hashlib

import numpy as np
import pytest

from cmd_speaker.embeddings import Embeddings, save_embeddings
from cmd_speaker.errors import DataError, DataErrors
from cmd_speaker.lists.trials import all_pairs
from cmd_speaker.teachers.bank import load_bank
from cmd_speaker.teachers.stage1 import describe, prepare_teacher
from cmd_speaker.teachers.vectors import VectorTeacher
from tests.teachers import write_faces

UTTERANCES = [
    ("u1", "a", "x", ""), ("u2", "a", "x", ""), ("u3", "a", "y", ""), ("u4", "a", "z", ""), ("u5", "b", "", ""),
    ("u6", "c", "", ""),
]  # fmt: skip
TABLE = """ID,spk_id,session,utterance,sharpness
v1,a,x,u1,0.5
v2,a,x,,1.5
v3,a,x,,2.5
v4,a,,,3
v5,b,,,-1
v6,b,,,0
held,d,,,9
other,a,w,,9
cut,a,x,u99,9
"""
TAKEN = ["v1", "v2", "v3", "v4", "v5", "v6"]


@pytest.fixture
def manifest(tmp_path):
    return write_faces(tmp_path / "train.csv", UTTERANCES)


@pytest.fixture
def vectors():
    """Random ones of 8 numbers for the rows of the table, and one that no row names."""
    ids = [line.split(",")[0] for line in TABLE.splitlines()[1:]] + ["spare"]
    return Embeddings(
        ids, np.random.default_rng(0).standard_normal((len(ids), 8)).astype(np.float32), None, "arc"
    )


@pytest.fixture
def teacher_of(tmp_path, vectors):
    """A function `(table, changed) -> VectorTeacher` of these files."""

    def build(table=TABLE, changed=None, name="vectors.npz"):
        save_embeddings(tmp_path / name, changed or vectors)
        (tmp_path / "table.csv").write_text(table)
        return VectorTeacher(tmp_path / name, tmp_path / "table.csv")

    return build


@pytest.mark.parametrize("name", ["vectors.npz", "vectors.safetensors", "vectors.scp", "vectors.ark"])
def test_rows_belong_to_utterance_session_or_identity(teacher_of, manifest, vectors, name):
    teacher = teacher_of(name=name)
    inputs = teacher.inputs(manifest)
    assert [each.content for each in inputs] == TAKEN
    assert [(each.level, each.key) for each in inputs] == [
        ("utterance", "u1"), ("session", "a/x"), ("session", "a/x"), ("identity", "a"), ("identity", "b"),
        ("identity", "b"),
    ]  # fmt: skip
    assert [each.quality for each in inputs] == [{"sharpness": v} for v in (0.5, 1.5, 2.5, 3, -1, 0)]
    assert inputs[0].checksum == hashlib.sha256(vectors.vectors[0].tobytes()).hexdigest()
    np.testing.assert_array_equal(teacher.embed(["v6", "v1"]), vectors.vectors[[5, 0]])


def test_through_the_bank_and_stage_1(teacher_of, manifest, vectors, tmp_path):
    made = prepare_teacher("face", teacher_of(), tmp_path / "t", manifest, 12)
    bank = load_bank(tmp_path / "t", teacher_of().inputs(manifest), "vectors, model arc")
    np.testing.assert_array_equal(bank.embeddings, vectors.vectors[:6])
    np.testing.assert_allclose(bank.quality["norm"], np.linalg.norm(vectors.vectors[:6], axis=1), rtol=1e-6)
    assert bank.quality["sharpness"].tolist() == [0.5, 1.5, 2.5, 3, -1, 0]
    lines = (tmp_path / "t" / "index.csv").read_text().splitlines()
    assert lines[0] == "level,key,identity,session,input,norm,sharpness"
    assert lines[2].startswith("session,a/x,a,x,")
    assert (tmp_path / "t" / "matches.csv").read_text() == (
        "ID,level,key\nu1,utterance,u1\nu2,session,a/x\nu3,identity,a\nu4,identity,a\nu5,identity,b\nu6,none,\n"
    )
    assert describe(made) == (
        "Teacher 'face': 2 training speakers with 6 different vectors, in 2 classes that can be told apart, so it "
        "can name at most 100.0% of them; the fitted head recognises 100.0% of its inputs. Utterances matched: "
        "1 by utterance, 1 by session, 3 by identity, 1 by none, with 6 rows of its bank. Speakers without a "
        "vector: 1 (c). Left out: 1 embeddings that the table does not name, 1 rows of 1 speakers who are not "
        "trained on (d), 2 rows of utterances or sessions not trained on (a/w, u99)."
    )


def test_held_out_speakers_never_enter_the_head(teacher_of, manifest, vectors, tmp_path):
    """Their vectors may be anything: not a bit of the targets changes."""
    before = prepare_teacher("face", teacher_of(), tmp_path / "before", manifest, 12)
    vectors.vectors[6:] = 1e6
    after = prepare_teacher("face", teacher_of(changed=vectors), tmp_path / "after", manifest, 12)
    assert after.targets.embedding.equal(before.targets.embedding)
    assert "held" not in (tmp_path / "after" / "index.csv").read_text()


def test_validation_speakers_are_scored_where_they_have_vectors(teacher_of, manifest, tmp_path):
    rows = [("w1", "d", "", ""), ("w2", "d", "", ""), ("w3", "e", "", "")]
    valid = write_faces(tmp_path / "valid.csv", rows)
    trials = all_pairs([row[0] for row in rows], [row[1] for row in rows])
    table = TABLE + "spare,e,,,1\n"
    made = prepare_teacher("face", teacher_of(table), tmp_path / "t", manifest, 12, valid=(valid, trials))
    assert made.report["validation_eer"] == 0
    nobody = write_faces(tmp_path / "nobody.csv", [("w1", "g", "", ""), ("w2", "h", "", "")])
    none = prepare_teacher("face", teacher_of(table), tmp_path / "n", manifest, 12, valid=(nobody, trials))
    assert "validation_eer" not in none.report


def test_a_changed_vector_or_quality_is_another_input(teacher_of, manifest, vectors, tmp_path):
    prepare_teacher("face", teacher_of(), tmp_path / "t", manifest, 12)
    with pytest.raises(DataError, match="other teacher inputs"):
        prepare_teacher("face", teacher_of(TABLE.replace("2.5", "2.6")), tmp_path / "t", manifest, 12)
    vectors.vectors[0, 0] += 1
    with pytest.raises(DataError, match="other teacher inputs"):
        prepare_teacher("face", teacher_of(changed=vectors), tmp_path / "t", manifest, 12)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("v2,a", "v9,a", "row 3: no embedding for 'v9'"),
        ("v3,a", "v2,a", "row 4: a second row for 'v2'"),
        ("v4,a,", "v4,,", "row 5: no spk_id of 'v4'"),
        ("v4,a,,,3", "v4,a,,,sharp", "row 5: 'sharp' in the column 'sharpness' is not a number"),
        ("v4,a,,,3", "v4,a,,,", "row 5: no sharpness of 'v4'.*remove the row or the column"),
        ("ID,spk_id", "ID,speaker", "row 1: the table lacks the column spk_id"),
        ("utterance,sharpness", "utterance,norm", "'norm' has a meaning of its own"),
    ],
)
def test_a_wrong_table_is_refused(teacher_of, before, after, expected):
    assert before in TABLE
    with pytest.raises((DataError, DataErrors), match=rf"(?s)table\.csv.*{expected}"):
        teacher_of(TABLE.replace(before, after))


def test_every_wrong_row_is_named(teacher_of, vectors):
    vectors.vectors[[1, 4]] = 0
    with pytest.raises(DataErrors, match=r"3 of 9 rows are wrong") as caught:
        teacher_of(TABLE.replace("v4,", "v44,"), vectors)
    lines = str(caught.value).splitlines()
    assert "row 3: the embedding of 'v2' has length 0" in lines[1]
    assert "row 5: no embedding for 'v44'" in lines[2]
    assert "row 6: the embedding of 'v5' has length 0" in lines[3]


def test_embeddings_that_are_not_finite_are_refused(teacher_of, vectors, tmp_path):
    teacher_of()
    vectors.vectors[2, 3] = np.nan
    np.savez(tmp_path / "bad.npz", ids=np.array(vectors.ids), embeddings=vectors.vectors)
    with pytest.raises(DataError, match="the embedding of 'v3' is not finite"):
        VectorTeacher(tmp_path / "bad.npz", tmp_path / "table.csv")


def test_an_utterance_of_another_speaker_is_refused(teacher_of, manifest):
    with pytest.raises(
        DataErrors, match=r"row 2: the utterance 'u6' is another speaker's.*'c'.*found speaker 'a'"
    ):
        teacher_of(TABLE.replace("u1", "u6")).inputs(manifest)


def test_a_teacher_without_files_is_refused_where_it_is_asked(manifest):
    with pytest.raises(DataError, match="no vectors were given to this teacher"):
        VectorTeacher().inputs(manifest)


def test_nobody_has_a_vector(teacher_of, tmp_path):
    manifest = write_faces(tmp_path / "m.csv", [("w1", "A", "", ""), ("w2", "B", "", "")])
    with pytest.raises(DataError, match=r"no input for any of the training speakers.*A, B.*a, b, d"):
        prepare_teacher("face", teacher_of(), tmp_path / "t", manifest, 12)
