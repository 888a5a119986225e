"""The embeddings file: what is written comes back, and what is wrong with a file is said."""

import json
import os

import numpy as np
import pytest
from safetensors.numpy import save_file

from cmd_speaker.embeddings import Embeddings, load_embeddings, save_embeddings
from cmd_speaker.errors import DataError
from cmd_speaker.files import write_atomically

IDS = ["id1/a", "id2/ü", "id3/c"]
VECTORS = np.random.default_rng(0).standard_normal((3, 5)).astype(np.float32)


@pytest.fixture(params=[".npz", ".safetensors"])
def path(request, tmp_path):
    return tmp_path / f"embeddings{request.param}"


def store(path, ids, vectors):
    """Write a file as another program might, unchecked."""
    if path.suffix == ".npz":
        np.savez(path, ids=np.array(ids), embeddings=vectors)
    else:
        save_file({"embeddings": vectors}, path, metadata={"ids": json.dumps(ids)})


def test_saved_embeddings_come_back(path):
    save_embeddings(path, Embeddings(IDS, VECTORS))
    loaded = load_embeddings(path)
    assert loaded.ids == IDS
    assert loaded.vectors.dtype == np.float32
    np.testing.assert_array_equal(loaded.vectors, VECTORS)
    assert loaded.path == path
    assert loaded.index() == {"id1/a": 0, "id2/ü": 1, "id3/c": 2}


def test_the_model_comes_back(path):
    save_embeddings(path, Embeddings(IDS, VECTORS, model="0f3a"))
    assert load_embeddings(path).model == "0f3a"
    store(path, IDS, VECTORS)
    assert load_embeddings(path).model is None


def test_the_same_embeddings_are_the_same_bytes(tmp_path):
    """safetensors itself has two orders for two metadata: in twelve files both turn up, but for one in 2,048."""
    embeddings = Embeddings(["ä", "b"], np.eye(2, dtype=np.float32), model="m")
    paths = [tmp_path / f"{k}.safetensors" for k in range(12)]
    for path in paths:
        save_embeddings(path, embeddings)
    assert len({path.read_bytes() for path in paths}) == 1
    assert load_embeddings(paths[0]).ids == ["ä", "b"]


@pytest.mark.parametrize("model", [np.array(["a"]), np.array(3)])
def test_a_model_that_is_not_one_string_is_refused(tmp_path, model):
    np.savez(tmp_path / "a.npz", ids=np.array(IDS), embeddings=VECTORS, model=model)
    with pytest.raises(DataError, match="wrong name of the model"):
        load_embeddings(tmp_path / "a.npz")


def test_a_view_is_saved_as_its_values(path):
    save_embeddings(path, Embeddings(IDS, VECTORS[::-1]))
    np.testing.assert_array_equal(load_embeddings(path).vectors, VECTORS[::-1])


def test_duplicate_ids_have_no_index():
    with pytest.raises(DataError, match=r"duplicate id 'b' .*embeddings 2 and 4"):
        Embeddings(["a", "b", "c", "b"], np.ones((4, 2), np.float32)).index()


@pytest.mark.parametrize(
    "call", [load_embeddings, lambda path: save_embeddings(path, Embeddings(IDS, VECTORS))]
)
def test_unknown_extension(tmp_path, call):
    with pytest.raises(DataError, match=r"expected \.npz, \.safetensors, \.scp, \.ark, found '\.txt'"):
        call(tmp_path / "embeddings.txt")


def test_missing_file(path):
    with pytest.raises(DataError, match="no such embeddings file") as caught:
        load_embeddings(path)
    assert caught.value.file == path


@pytest.mark.parametrize("keep", [0, 5, 60, -40])
def test_a_file_cut_off_is_damaged(path, keep):
    save_embeddings(path, Embeddings(IDS, VECTORS))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match="damaged"):
        load_embeddings(path)


def test_a_changed_byte_of_an_npz_is_noticed(tmp_path):
    path = tmp_path / "embeddings.npz"
    save_embeddings(path, Embeddings(IDS, VECTORS))
    data = bytearray(path.read_bytes())
    data[data.index(VECTORS.tobytes()) + 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="damaged"):
        load_embeddings(path)


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int32])
def test_another_dtype_is_refused(path, dtype):
    store(path, IDS, VECTORS.astype(dtype))
    with pytest.raises(DataError, match="expected a float32 matrix"):
        load_embeddings(path)


def test_a_dtype_that_numpy_lacks_is_refused(tmp_path):
    # safetensors: length of the header (8 bytes, little endian), header in JSON, data.
    entry = {"dtype": "BF16", "shape": [1, 2], "data_offsets": [0, 4]}
    header = json.dumps({"__metadata__": {"ids": '["a"]'}, "embeddings": entry}).encode()
    path = tmp_path / "embeddings.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(DataError, match=r"expected a float32 matrix .*found BF16"):
        load_embeddings(path)


@pytest.mark.parametrize("shape", [(15,), (3, 5, 1)])
def test_another_shape_is_refused(path, shape):
    store(path, IDS, VECTORS.reshape(shape) if len(shape) > 1 else VECTORS.ravel())
    with pytest.raises(DataError, match="expected a float32 matrix"):
        load_embeddings(path)


def test_ids_must_match_in_number(path):
    store(path, IDS[:2], VECTORS)
    with pytest.raises(DataError, match="expected 3 ids, found 2"):
        load_embeddings(path)


def test_no_embeddings_are_refused(path):
    store(path, IDS, VECTORS[:, :0])
    with pytest.raises(DataError, match="no embeddings"):
        load_embeddings(path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_the_id_of_an_embedding_that_is_not_finite_is_named(path, value):
    bad = VECTORS.copy()
    bad[1, 3] = value
    store(path, IDS, bad)
    with pytest.raises(DataError, match="'id2/ü' is not finite"):
        load_embeddings(path)
    with pytest.raises(DataError, match="'id2/ü' is not finite"):
        save_embeddings(path, Embeddings(IDS, bad))


def test_missing_arrays_are_named(tmp_path):
    np.savez(tmp_path / "a.npz", vectors=VECTORS, ids=np.array(IDS))
    save_file({"vectors": VECTORS}, tmp_path / "b.safetensors", metadata={"ids": json.dumps(IDS)})
    save_file({"embeddings": VECTORS}, tmp_path / "c.safetensors")
    for name, found in [
        ("a.npz", "vectors, ids"),
        ("b.safetensors", "vectors"),
        ("c.safetensors", "nothing"),
    ]:
        with pytest.raises(DataError, match=f"not an embeddings file .*found only {found}"):
            load_embeddings(tmp_path / name)


def test_ids_must_be_strings(tmp_path):
    np.savez(tmp_path / "a.npz", embeddings=VECTORS, ids=np.arange(3))
    save_file({"embeddings": VECTORS}, tmp_path / "b.safetensors", metadata={"ids": "[1, 2, 3]"})
    for name in ("a.npz", "b.safetensors"):
        with pytest.raises(DataError, match="wrong ids"):
            load_embeddings(tmp_path / name)


def test_python_objects_are_never_loaded(tmp_path):
    np.savez(tmp_path / "a.npz", embeddings=VECTORS, ids=np.array(IDS, dtype=object))
    with pytest.raises(DataError, match="Python objects, which are never loaded"):
        load_embeddings(tmp_path / "a.npz")


def test_a_single_array_is_not_an_npz(tmp_path):
    with (tmp_path / "a.npz").open("wb") as file:
        np.save(file, VECTORS)
    with pytest.raises(DataError, match="another kind of file"):
        load_embeddings(tmp_path / "a.npz")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(path):
    save_embeddings(path, Embeddings(IDS, VECTORS))
    before = path.read_bytes()

    def interrupted():
        with write_atomically(path) as temporary:
            temporary.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_only_files_are_replaced_and_links_stay(tmp_path):
    os.mkfifo(tmp_path / "pipe.ark")
    (tmp_path / "folder.ark").mkdir()
    for name, found in (("pipe.ark", "a device or pipe"), ("folder.ark", "a folder")):
        with pytest.raises(DataError, match=f"not a file that can be replaced .*found {found}"):
            save_embeddings(tmp_path / name, Embeddings(IDS, VECTORS))
    assert (tmp_path / "pipe.ark").is_fifo()
    (tmp_path / "link.npz").symlink_to(tmp_path / "folder.ark" / "real.npz")
    save_embeddings(tmp_path / "link.npz", Embeddings(IDS, VECTORS))
    assert (tmp_path / "link.npz").is_symlink()
    assert load_embeddings(tmp_path / "folder.ark" / "real.npz").ids == list(IDS)


def test_a_folder_that_cannot_be_made_is_an_error_with_its_path(path):
    path.write_text("a file, not a folder")
    with pytest.raises(DataError, match="cannot be written"):
        save_embeddings(path / "inside.npz", Embeddings(IDS, VECTORS))
