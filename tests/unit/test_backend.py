"""The back-end: what it is made of, that it comes back as it was saved, and that it says what it is."""

import numpy as np
import pytest

from cmd_speaker.embeddings import Embeddings, load_embeddings, save_embeddings
from cmd_speaker.errors import DataError, UsageError
from cmd_speaker.files import file_checksum
from cmd_speaker.scoring.backend import FILE_NAME, Backend


def made(count, seed, size=6):
    vectors = np.random.default_rng(seed).standard_normal((count, size)).astype(np.float32)
    return Embeddings([f"u{k}" for k in range(count)], vectors)


SPEAKERS = {f"u{k}": f"s{k % 10}" for k in range(100)}
ENROL, TEST = made(3, 8).vectors, made(4, 9).vectors


def test_a_mean_is_subtracted_before_the_cosine():
    # Mean of (2, 0) and (0, 2): (1, 1). (4, 5) and (1, 3) become (3, 4) and (0, 2), whose cosine is 4/5.
    mean_from = Embeddings(["a", "b"], np.array([[2, 0], [0, 2]], np.float32))
    score = Backend.fit(mean_from=mean_from).score(np.array([[4, 5]]), np.array([[1, 3]]))
    np.testing.assert_allclose(score, [[0.8]], rtol=1e-6)


def test_a_cohort_of_speakers_is_the_mean_of_their_directions():
    # Speaker s: (3, 4) and (0, 2) of length 1 are (0.6, 0.8) and (0, 1), their sum (0.6, 1.8); t: (1, 0).
    cohort = Embeddings(["a", "b", "c"], np.array([[3, 4], [1, 0], [0, 2]], np.float32))
    backend = Backend.fit(cohort=cohort, cohort_speakers={"a": "s", "b": "t", "c": "s", "x": "y"}, norm="s")
    np.testing.assert_allclose(backend.cohort, [[0.1 * 10**0.5, 0.3 * 10**0.5], [1, 0]], rtol=1e-6)
    assert backend.description()["cohort"]["count"] == 2


def test_plda_without_another_mean_subtracts_that_of_its_training_set():
    data = made(100, 1)
    alone = Backend.fit(plda_from=data, plda_speakers=SPEAKERS, plda_rank=3)
    both = Backend.fit(mean_from=data, plda_from=data, plda_speakers=SPEAKERS, plda_rank=3)
    np.testing.assert_array_equal(alone.score(ENROL, TEST), both.score(ENROL, TEST))
    other = Backend.fit(mean_from=made(9, 5), plda_from=data, plda_speakers=SPEAKERS, plda_rank=3)
    assert np.abs(other.score(ENROL, TEST) - both.score(ENROL, TEST)).max() > 1e-3


def test_plda_needs_speakers_of_all_its_utterances():
    with pytest.raises(UsageError, match="--plda-speakers"):
        Backend.fit(plda_from=made(100, 1))
    with pytest.raises(DataError, match=r"no speaker of 'u100' .*1 of 101"):
        Backend.fit(plda_from=made(101, 1), plda_speakers=SPEAKERS)


@pytest.mark.parametrize("plda", [False, True])
@pytest.mark.parametrize("norm", ["none", "s", "as"])
def test_a_saved_back_end_gives_the_same_bits(tmp_path, plda, norm):
    data, cohort = made(100, 1), made(50, 2)
    save_embeddings(tmp_path / "cohort.npz", cohort)
    settings = {"plda_from": data, "plda_speakers": SPEAKERS, "plda_rank": 3} if plda else {"mean_from": data}
    backend = Backend.fit(
        **settings, cohort=load_embeddings(tmp_path / "cohort.npz"), norm=norm, top=7, enrolment="best"
    )
    backend.save(tmp_path / "model")
    loaded = Backend.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.score(ENROL, TEST), backend.score(ENROL, TEST))
    np.testing.assert_array_equal(loaded.cohort_means(TEST), backend.cohort_means(TEST))
    assert loaded.description() == backend.description()
    assert [file.name for file in (tmp_path / "model").iterdir()] == [FILE_NAME]


def test_what_a_back_end_says_of_itself(tmp_path):
    path = tmp_path / "cohort.npz"
    save_embeddings(path, made(50, 2))
    file = {"name": "cohort.npz", "sha256": file_checksum(path), "count": 50}
    backend = Backend.fit(mean_from=load_embeddings(path), cohort=load_embeddings(path), norm="as", top=7)
    assert backend.description() == {
        "scorer": "cosine", "enrolment": "average", "mean": file, "norm": "as", "top": 7, "cohort": file,
    }  # fmt: skip
    for_measures = Backend.fit(cohort=load_embeddings(path), top=7).description()
    assert (for_measures["norm"], for_measures["top"]) == ("none", 7)
    assert Backend().description() == {
        "scorer": "cosine", "enrolment": "average", "mean": None, "norm": "none", "top": None, "cohort": None,
    }  # fmt: skip
    plda = Backend.fit(plda_from=made(100, 1), plda_speakers=SPEAKERS, plda_rank=3).description()
    assert plda["scorer"] == "plda"
    assert (plda["plda"]["rank"], plda["plda"]["count"]) == (3, 100)


def test_a_folder_without_one_is_the_plain_cosine(tmp_path):
    unit = [vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in (ENROL, TEST)]
    np.testing.assert_allclose(Backend.load(tmp_path).score(ENROL, TEST), unit[0] @ unit[1].T, atol=1e-6)


@pytest.mark.parametrize("damage", ["cut", "other", "version", "settings"])
def test_a_damaged_back_end_is_refused(tmp_path, damage):
    from safetensors.numpy import save

    Backend.fit(mean_from=made(9, 1)).save(tmp_path)
    path = tmp_path / FILE_NAME
    whole = path.read_bytes()
    damaged = {
        "cut": whole[:-8],
        "other": save({"mean": ENROL[0]}),
        "version": whole.replace(b'version\\": 1', b'version\\": 2'),
        "settings": whole.replace(b'norm\\": \\"none', b'norm\\": \\"some'),
    }[damage]
    assert damaged != whole
    path.write_bytes(damaged)
    with pytest.raises(DataError, match="the back-end cannot be read"):
        Backend.load(tmp_path)


@pytest.mark.parametrize(
    "settings", [{"mean_from": made(9, 1, size=5)}, {"cohort": made(9, 1, size=5), "norm": "s"}]
)
def test_other_dimensions_are_refused(settings):
    with pytest.raises(DataError, match=r"expected 5 dimensions .*found 6"):
        Backend.fit(**settings).score(ENROL, TEST)
