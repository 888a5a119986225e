"""Text teachers, the bank and stage 1."""

import json

import numpy as np
import pytest
import torch

from cmd_speaker.errors import DataError, DataErrors
from cmd_speaker.evaluation.trials import all_pairs
from cmd_speaker.manifest import load_manifest, write_manifest
from cmd_speaker.teachers.bank import Bank, BankRow, build_text_bank, coverage, load_bank, text_inputs
from cmd_speaker.teachers.head import TeacherHead, TeacherTargets, fit_head
from cmd_speaker.teachers.stage1 import describe, prepare_text_teacher
from cmd_speaker.teachers.text import HuggingFaceTextTeacher, SmallTextTeacher

TEXTS = {
    "s1": "A girl, a child, 9 years old.",
    "s2": "A boy, a child, 9 years old.",
    "s3": "A woman in her twenties, a young adult, 24 years old.",
    "s4": "A girl, a child, 9 years old.",
}


@pytest.fixture
def manifest(tmp_path):
    return write(tmp_path / "train.csv", TEXTS)


def write(path, texts):
    rows = [
        (f"{speaker}-{k}", 1.0, "a.wav", 0, 16000, speaker, "", text, f"SENTENCE NUMBER {k}")
        for speaker, text in texts.items()
        for k in range(3)
    ]
    write_manifest(path, ("session", "text", "transcript"), rows)
    return load_manifest(path)


def small(**changes):
    return SmallTextTeacher(**{"steps": 40, "size": 16, "layers": 1, "vocabulary": 64, **changes})


def test_the_small_teacher_is_reproducible_and_leaves_the_random_state():
    texts = [*TEXTS.values(), "WE CALL IT BEAR"]
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first, second, other = small(), small(), small(seed=1)
    for teacher in (first, second, other):
        teacher.fit(texts)
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(first.embed(texts), second.embed(texts))
    assert first.identity() == second.identity() != other.identity()


def test_similar_texts_have_similar_embeddings():
    teacher = small(steps=150)
    teacher.fit(list(TEXTS.values()) * 10)
    girl, boy, woman, same = teacher.embed(list(TEXTS.values()))
    assert np.array_equal(girl, same)
    assert 0 < np.linalg.norm(girl - boy) < np.linalg.norm(girl - woman)


def test_an_empty_text_is_refused():
    teacher = small()
    teacher.fit(list(TEXTS.values()))
    with pytest.raises(DataError, match="empty"):
        teacher.embed([" "])


def test_the_encoder_predicts_masked_tokens_from_their_context():
    """Pre-training must learn: the loss of a trained encoder is below that of its start."""
    from cmd_speaker.teachers.text import MASK

    teacher, untrained = small(steps=300), small(steps=1)
    texts = ["RED APPLE", "GREEN PEAR"] * 8
    for each in (teacher, untrained):
        each.fit(texts)

    def masked_loss(t):
        ids = t.tokenizer.encode("RED APPLE")
        tokens = torch.tensor([[MASK, *ids[1:]]])
        with torch.no_grad():
            logits = t.encoder.outputs(tokens)[0, 0] @ t.encoder.tokens.weight.T
        return float(torch.nn.functional.cross_entropy(logits[None], torch.tensor(ids[:1])))

    assert masked_loss(teacher) < 0.5 * masked_loss(untrained)


def test_bank_round_trip(manifest, tmp_path):
    teacher = small()
    teacher.fit(list(TEXTS.values()))
    built = build_text_bank(tmp_path / "bank", manifest, teacher, "cmd-speaker train X")
    read = load_bank(tmp_path / "bank", text_inputs(manifest), small().source())
    assert np.array_equal(built.embeddings, read.embeddings)
    assert built.rows == read.rows
    assert read.distinct_inputs == 3
    assert json.loads((tmp_path / "bank" / "bank.json").read_text())["teacher"] == "SmallTextTeacher"


def test_a_stale_bank_is_refused_with_the_command_that_rebuilds_it(manifest, tmp_path):
    teacher = small()
    teacher.fit(list(TEXTS.values()))
    build_text_bank(tmp_path / "bank", manifest, teacher, "cmd-speaker train X --rebuild_bank True")
    changed = write(tmp_path / "other.csv", TEXTS | {"s2": "A boy, a child, 10 years old."})
    with pytest.raises(DataError, match=r"other teacher inputs.*cmd-speaker train X --rebuild_bank True"):
        load_bank(tmp_path / "bank", text_inputs(changed), small().source())


@pytest.mark.parametrize("name", ["bank.json", "index.csv", "embeddings.safetensors"])
def test_a_damaged_bank_is_refused(manifest, tmp_path, name):
    teacher = small()
    teacher.fit(list(TEXTS.values()))
    build_text_bank(tmp_path / "bank", manifest, teacher, "")
    path = tmp_path / "bank" / name
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(DataError, match="damaged"):
        load_bank(tmp_path / "bank", text_inputs(manifest), small().source())


def test_the_most_specific_row_is_taken(tmp_path):
    write_manifest(
        tmp_path / "m.csv", ("session",),
        [("u1", 1, "a", "", "", "s1", "x"), ("u2", 1, "a", "", "", "s1", "x"),
         ("u3", 1, "a", "", "", "s1", "y"), ("u4", 1, "a", "", "", "s2", "x")],
    )  # fmt: skip
    keys = [("identity", "s1"), ("session", "s1/x"), ("utterance", "u1")]
    bank = Bank(np.zeros((3, 2), np.float32), [BankRow(level, key, "s1", "", "", 1.0) for level, key in keys])
    rows, levels = bank.match(load_manifest(tmp_path / "m.csv"))
    assert rows.tolist() == [2, 1, 0, -1]
    assert levels == ["utterance", "session", "identity", "none"]
    assert coverage(levels) == "1 by utterance, 1 by session, 1 by identity, 1 by none"


def test_one_speaker_with_two_texts_is_refused(tmp_path):
    path = tmp_path / "train.csv"
    write(path, TEXTS)
    lines = path.read_text().splitlines()
    lines[2] = lines[2].replace("9 years", "10 years")
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=r"row 3: speaker 's1' has two texts"):
        text_inputs(load_manifest(path))


def test_stage_1_classes_are_the_distinct_inputs(manifest, tmp_path):
    teacher = small()
    teacher.fit(list(TEXTS.values()))
    bank = build_text_bank(tmp_path / "bank", manifest, teacher, "")
    head, targets, report = fit_head(bank, 12)
    assert (report.identities, report.distinct_inputs, report.ceiling) == (4, 3, 0.75)
    assert report.accuracy == 1.0
    assert targets.label[0] == targets.label[3]
    assert len(set(targets.label.tolist())) == 3
    assert targets.embedding.shape == (4, 12)
    assert targets.classifier.shape == (3, 12)
    assert not any(p.requires_grad for p in head.parameters())
    assert not targets.embedding.requires_grad
    torch.testing.assert_close(targets.norm, torch.from_numpy(np.linalg.norm(bank.embeddings, axis=1)))


def test_head_is_a_residual_bottleneck():
    torch.manual_seed(0)
    head, x = TeacherHead(8, 8, narrow=2), torch.randn(3, 8)
    torch.testing.assert_close(head(x), x + head.bottleneck(x))
    assert [layer.out_features for layer in head.bottleneck if hasattr(layer, "out_features")] == [8, 2, 8]
    assert TeacherHead(5, 8)(torch.randn(3, 5)).shape == (3, 8)


def test_targets_round_trip_and_unmatched_rows(tmp_path):
    targets = TeacherTargets(torch.randn(4, 3), torch.arange(4), torch.randn(4, 3), torch.rand(4))
    targets.save(tmp_path / "t.safetensors")
    batch = TeacherTargets.load(tmp_path / "t.safetensors").batch(torch.tensor([2, -1, 0]))
    assert batch.matched.tolist() == [True, False, True]
    assert torch.equal(batch.embedding[0], targets.embedding[2])
    assert batch.label.tolist()[::2] == [2, 0]


def test_permutation_leaves_nobody_an_equal_input():
    """Also where many share one: 105 speakers, of whom 40 have the same text."""
    labels = torch.tensor([0] * 40 + list(range(1, 66)))
    rows = torch.arange(105)
    targets = TeacherTargets(rows[:, None].float(), labels, torch.zeros(66, 1), rows.float())
    for seed in range(20):
        permuted = targets.permuted(seed)
        assert not (permuted.label == labels).any()
        assert sorted(permuted.norm.tolist()) == rows.tolist()
    with pytest.raises(DataError, match="cannot be made"):
        TeacherTargets(rows[:, None].float(), labels * 0, torch.zeros(1, 1), rows.float()).permuted(1)


def test_another_teacher_or_half_made_stage_1_is_not_used(manifest, tmp_path):
    prepare_text_teacher(small(), tmp_path / "t", manifest, 12)
    with pytest.raises(DataError, match="made by another teacher"):
        prepare_text_teacher(small(seed=1), tmp_path / "t", manifest, 12)
    (tmp_path / "t" / "report.json").unlink()  # as after a kill: it is written last
    targets, *_ = prepare_text_teacher(small(seed=1), tmp_path / "t", manifest, 12)
    again, *_ = prepare_text_teacher(small(seed=1), tmp_path / "t", manifest, 12)
    assert torch.equal(targets.embedding, again.embedding)


def test_only_training_texts_are_fitted(manifest, tmp_path):
    seen = []

    class Spy(SmallTextTeacher):
        def fit(self, texts):
            seen.extend(texts)
            super().fit(texts)

    valid = write(tmp_path / "valid.csv", {"v1": "AN OLD MAN.", "v2": "AN OLD WOMAN."})
    trials = all_pairs([u.id for u in valid], [u.spk_id for u in valid])
    teacher = Spy(steps=20, size=16, layers=1, vocabulary=64)
    _, _, report = prepare_text_teacher(teacher, tmp_path / "t", manifest, 12, valid=(valid, trials))
    assert set(seen) == {*TEXTS.values(), "SENTENCE NUMBER 0", "SENTENCE NUMBER 1", "SENTENCE NUMBER 2"}
    # Two different texts tell the two speakers apart without error.
    assert report["validation_eer"] == 0


def test_permutation_of_distinct_inputs():
    rows = torch.arange(50)
    targets = TeacherTargets(rows[:, None].float(), rows, torch.zeros(50, 1), rows.float())
    permuted = targets.permuted(7)
    assert sorted(permuted.label.tolist()) == list(range(50))
    assert not (permuted.label == rows).any()
    assert torch.equal(permuted.embedding[:, 0].long(), permuted.label)
    assert not torch.equal(permuted.label, targets.permuted(8).label)


def test_stage_1_is_made_once_and_described(manifest, tmp_path):
    made = prepare_text_teacher(small(), tmp_path / "t", manifest, 12)
    again = prepare_text_teacher(small(), tmp_path / "t", manifest, 12)
    assert torch.equal(made[0].embedding, again[0].embedding)
    text = describe(again[2])
    assert "3 distinct inputs for 4 training speakers" in text
    assert "at most 75.0%" in text
    assert "12 by identity" in text


def test_a_hugging_face_encoder_from_a_local_folder(hugging_face, manifest, tmp_path):
    teacher = HuggingFaceTextTeacher(hugging_face)
    targets, rows, report = prepare_text_teacher(teacher, tmp_path / "t", manifest, 12)
    assert teacher.embed(["a girl"]).shape == (1, 16)
    assert not np.allclose(teacher.embed(["a girl"]), teacher.embed(["a boy"]))
    assert report["distinct_inputs"] == 3
    assert (rows >= 0).all()
    assert targets.embedding.shape == (4, 12)


def test_not_a_hugging_face_folder(tmp_path):
    with pytest.raises(DataError, match=r"not a Hugging Face model folder.*config\.json"):
        HuggingFaceTextTeacher(tmp_path)


def test_no_text_column(tmp_path):
    write_manifest(tmp_path / "m.csv", (), [("u1", 1, "a", "", "", "s1")])
    with pytest.raises((DataError, DataErrors), match="no column 'text'"):
        text_inputs(load_manifest(tmp_path / "m.csv"))
