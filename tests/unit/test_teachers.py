"""Text teachers, and stage 1 from a manifest to what the teacher can know."""

import numpy as np
import pytest
import torch

from cmd_speaker.errors import DataError
from cmd_speaker.lists.trials import all_pairs
from cmd_speaker.teachers.stage1 import describe, prepare_teacher
from cmd_speaker.teachers.text import HuggingFaceTextTeacher, SmallTextTeacher
from tests.teachers import TEXTS, small, write_texts


@pytest.fixture
def manifest(tmp_path):
    return write_texts(tmp_path / "train.csv", TEXTS)


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


def test_another_teacher_or_half_made_stage_1_is_not_used(manifest, tmp_path):
    prepare_teacher("text", small(), tmp_path / "t", manifest, 12)
    with pytest.raises(DataError, match="made by another teacher"):
        prepare_teacher("text", small(seed=1), tmp_path / "t", manifest, 12)
    (tmp_path / "t" / "report.json").unlink()  # as after a kill: it is written last
    made = prepare_teacher("text", small(seed=1), tmp_path / "t", manifest, 12)
    again = prepare_teacher("text", small(seed=1), tmp_path / "t", manifest, 12)
    assert torch.equal(made.targets.embedding, again.targets.embedding)


def test_only_training_texts_are_fitted(manifest, tmp_path):
    seen = []

    class Spy(SmallTextTeacher):
        def fit(self, texts):
            seen.extend(texts)
            super().fit(texts)

    valid = write_texts(tmp_path / "valid.csv", {"v1": "AN OLD MAN.", "v2": "AN OLD WOMAN."})
    trials = all_pairs([u.id for u in valid], [u.spk_id for u in valid])
    teacher = Spy(steps=20, size=16, layers=1, vocabulary=64)
    prepared = prepare_teacher("text", teacher, tmp_path / "t", manifest, 12, valid=(valid, trials))
    assert set(seen) == {*TEXTS.values(), "SENTENCE NUMBER 0", "SENTENCE NUMBER 1", "SENTENCE NUMBER 2"}
    # Two different texts tell the two speakers apart without error.
    assert prepared.report["validation_eer"] == 0


def test_stage_1_is_made_once_and_described(manifest, tmp_path):
    made = prepare_teacher("text", small(), tmp_path / "t", manifest, 12)
    again = prepare_teacher("text", small(), tmp_path / "t", manifest, 12)
    assert torch.equal(made.targets.embedding, again.targets.embedding)
    for each in (made, again):
        assert [each.row(0, 1, k) for k in range(12)] == [row for row in range(4) for _ in range(3)]
    assert describe(made) == describe(again)
    assert describe(made).startswith(
        "Teacher 'text': 4 training speakers with 3 different texts, in 3 classes"
    )
    assert "at most 75.0%" in describe(made)
    assert "12 by identity" in describe(made)


def test_a_hugging_face_encoder_from_a_local_folder(hugging_face, manifest, tmp_path):
    teacher = HuggingFaceTextTeacher(hugging_face)
    prepared = prepare_teacher("text", teacher, tmp_path / "t", manifest, 12)
    assert teacher.embed(["a girl"]).shape == (1, 16)
    assert not np.allclose(teacher.embed(["a girl"]), teacher.embed(["a boy"]))
    assert prepared.report["inputs"] == 3
    assert prepared.report["matched"] == "12 by identity"
    assert prepared.targets.embedding.shape == (4, 12)


def test_not_a_hugging_face_folder(tmp_path):
    with pytest.raises(DataError, match=r"not a Hugging Face model folder.*config\.json"):
        HuggingFaceTextTeacher(tmp_path)
