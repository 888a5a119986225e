"""Face encoders: ONNX graphs of every form, and InceptionResnetV1 from a file and by name."""

import urllib.error

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper

from cmd_speaker.errors import DataError, UsageError
from cmd_speaker.faces.detection import Face
from cmd_speaker.faces.encoders import open_encoder
from cmd_speaker.faces.onnx_encoder import ArcFaceInput
from tests.faces import write_encoder, write_graph

FACE = Face(np.array([20.0, 30.0, 90.0, 120.0]), 0.99, np.zeros((5, 2)), 1)


@pytest.fixture
def halves():
    """Three pictures: left half (255, 0, 51), right half another grey each."""
    pictures = np.zeros((3, 112, 112, 3), np.uint8)
    pictures[:, :, :56] = (255, 0, 51)
    for k, grey in enumerate((0, 255, 102)):
        pictures[k, :, 56:] = grey
    return pictures


# (255 - 127.5) / 127.5 = 1, 0: -1, 51: -0.6, 102: -0.2. The first three are means of the left half and the right.
LEFT = [1, -1, -0.6]
EXPECTED = np.array([[(left + right) / 2 for left in LEFT] + LEFT for right in (-1, 1, -0.2)])


@pytest.mark.parametrize(
    ("layout", "batch", "kind"),
    [
        ("NCHW", "n", TensorProto.FLOAT),
        ("NCHW", 1, TensorProto.FLOAT),
        ("NCHW", 2, TensorProto.FLOAT),
        ("NHWC", "n", TensorProto.FLOAT),
        ("NHWC", 2, TensorProto.FLOAT16),
    ],
)
def test_every_form_of_graph(tmp_path, halves, layout, batch, kind):
    encoder = open_encoder(write_encoder(tmp_path / "e.onnx", layout, batch, kind=kind), batch_size=2)
    found = encoder.embed(halves)
    assert found.dtype == np.float32
    assert found == pytest.approx(EXPECTED, abs=1e-3)
    assert encoder.embed(halves[2:]) == pytest.approx(found[2:], abs=1e-6)


def test_free_sides_are_arcfaces_and_fixed_ones_kept(tmp_path):
    free = open_encoder(write_encoder(tmp_path / "free.onnx", sides=("h", "w")))
    fixed = open_encoder(write_encoder(tmp_path / "fixed.onnx", sides=(128, 96)))
    picture = np.zeros((50, 40, 3), np.uint8)
    assert [each.crop(picture, None).shape for each in (free, fixed)] == [(112, 112, 3), (128, 96, 3)]
    face = Face(FACE.box, 1, np.random.default_rng(0).uniform(0, 40, (5, 2)), 1)
    assert [each.crop(picture, face).shape for each in (free, fixed)] == [(112, 112, 3), (128, 96, 3)]


def test_colours_mean_and_scale(tmp_path, halves):
    """As 0 to 1, blue first: 51 / 255 = 0.2, 0 and 1 at the left; the first picture is black at the right."""
    path = write_encoder(tmp_path / "e.onnx")
    other = open_encoder(path, form=ArcFaceInput("bgr", 0, 255))
    assert other.embed(halves)[0] == pytest.approx([0.1, 0, 0.5, 0.2, 0, 1], abs=1e-6)
    assert other.model != open_encoder(path).model
    assert "e.onnx" in other.model
    for wrong in ({"colours": "grb"}, {"scale": 0}):
        with pytest.raises(UsageError, match="rgb or bgr and a scale other than 0"):
            ArcFaceInput(**wrong)


def picture_input(*shape, kind=TensorProto.FLOAT):
    return ("x", kind, ["n", *shape])


@pytest.mark.parametrize(
    ("nodes", "inputs", "found"),
    [
        ([("Flatten", ["x"])], [picture_input(1, 112, 112)], r"x tensor\(float\) \['n', 1, 112, 112\]"),
        ([("Flatten", ["x"])], [picture_input(300)], r"\['n', 300\]"),
        ([("Cast", ["x"])], [picture_input(3, 8, 8, kind=TensorProto.INT64)], r"tensor\(int64\)"),
        ([("Add", ["x", "z"])], [picture_input(3, 8, 8), ("z", TensorProto.FLOAT, [1])], r"x .*, z "),
        ([("Relu", ["x"])], [picture_input(3, 8, 8)], r"output y \[2, 3, 8, 8\] for 2 pictures"),
        ([("ReduceMean", ["x"])], [picture_input(3, 8, 8)], r"output y \[1, 1, 1, 1\] for 2"),
    ],
)
def test_another_graph_is_refused_with_what_it_has(tmp_path, nodes, inputs, found):
    options = {"Cast": {"to": TensorProto.FLOAT}}
    made = [helper.make_node(kind, names, ["y"], **options.get(kind, {})) for kind, names in nodes]
    path = write_graph(tmp_path / "other.onnx", made, inputs, None)
    with pytest.raises(DataError, match=rf"other\.onnx: not a face encoder.*{found}"):
        open_encoder(path)


def test_what_is_no_encoder_at_all(tmp_path):
    (tmp_path / "text.onnx").write_text("no graph")
    (tmp_path / "text.pt").write_text("no weights")
    torch.save({"conv2d_1a.conv.weight": torch.zeros(1), "other": torch.zeros(2)}, tmp_path / "other.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    torch.save({1: torch.zeros(1)}, tmp_path / "numbers.pt")
    torch.save(torch.nn.Linear(1, 1), tmp_path / "code.pt")
    for name, message in (
        ("text.onnx", "not an ONNX graph"),
        ("text.pt", "no weights that can be loaded"),
        ("code.pt", "without running its code"),
        ("list.pt", "no state_dict.*found list"),
        ("numbers.pt", "no state_dict.*tensors by name"),
        (
            "other.pt",
            r"not the weights of InceptionResnetV1.*conv2d_1a.conv.weight \[1\], other \[2\].*missing:",
        ),
        ("gone.onnx", "no such face encoder"),
        ("gone.pt", "no such face encoder"),
    ):
        with pytest.raises(DataError, match=message):
            open_encoder(tmp_path / name)
    with pytest.raises(UsageError, match="unknown face encoder 'vggface3': expected vggface2, casia-webface"):
        open_encoder("vggface3")
    with pytest.raises(UsageError, match="those of an ONNX encoder"):
        open_encoder("vggface2", form=ArcFaceInput())
    with pytest.raises(UsageError, match="cannot use the device 'cuda'"):
        open_encoder(write_encoder(tmp_path / "e.onnx"), "cuda")


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Random weights in the file where facenet-pytorch keeps those of VGGFace2, and its TORCH_HOME."""
    import facenet_pytorch as facenet

    home = tmp_path_factory.mktemp("torch")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = facenet.InceptionResnetV1(classify=True, num_classes=8631).half()
    path = home / "checkpoints" / "20180402-114759-vggface2.pt"
    path.parent.mkdir()
    torch.save(network.state_dict(), path)
    return path


def test_inception_from_a_file_and_by_name(published, monkeypatch):
    from facenet_pytorch import InceptionResnetV1, fixed_image_standardization

    monkeypatch.setenv("TORCH_HOME", str(published.parents[1]))
    before = torch.get_rng_state()
    given, named = open_encoder(published), open_encoder("vggface2")
    assert torch.equal(torch.get_rng_state(), before)
    assert given.model.split(", ")[1] == named.model.split(", ")[1]
    assert named.model.startswith("InceptionResnetV1 vggface2, weights ")
    picture = np.random.default_rng(0).integers(0, 256, (150, 120, 3), np.uint8)
    crop = given.crop(picture, FACE)
    assert crop.shape == given.crop(picture, None).shape == (160, 160, 3)
    found = given.embed(crop[None])
    assert np.array_equal(found, named.embed(crop[None]))
    state = {k: v.float() for k, v in torch.load(published, weights_only=True).items()}
    theirs = InceptionResnetV1(classify=False, num_classes=8631)
    theirs.load_state_dict({k: v for k, v in state.items() if "logits" not in k})
    image = fixed_image_standardization(torch.tensor(crop).float()).permute(2, 0, 1)
    with torch.inference_mode():
        expected = theirs.eval()(image[None])
    length = np.linalg.norm(found)
    assert abs(length - 1) > 0.01, "not brought to length 1: the norm is a quality"
    assert found / length == pytest.approx(expected.numpy(), abs=1e-5)


def test_a_graph_that_says_any_number_and_takes_one(tmp_path, halves):
    """As some exports do: the 1 of the picture that they were traced with stands in a Reshape."""
    nodes = [
        helper.make_node("Constant", [], ["form"], value_ints=[1, 3 * 112 * 112]),
        helper.make_node("Reshape", ["x", "form"], ["flat"]),
        helper.make_node("ReduceMean", ["flat"], ["y"], axes=[1]),
    ]
    path = write_graph(tmp_path / "one.onnx", nodes, [picture_input(3, 112, 112)], None)
    found = open_encoder(path).embed(halves)
    assert found == pytest.approx(EXPECTED[:, :3].mean(1, keepdims=True), abs=1e-5)


def test_weights_beside_a_graph_count(tmp_path):
    """Graphs over 2 GB keep their weights in a file of their own."""
    import onnx

    encoder = onnx.load(write_encoder(tmp_path / "e.onnx"))
    shift = onnx.numpy_helper.from_array(np.ones(6, np.float32), "shift")
    encoder.graph.initializer.append(shift)
    encoder.graph.node[-1].output[0] = "flat"
    encoder.graph.node.append(helper.make_node("Add", ["flat", "shift"], ["y"]))
    path = tmp_path / "large.onnx"
    options = {"save_as_external_data": True, "location": "weights.bin", "size_threshold": 0}
    onnx.save(encoder, path, **options)
    before = open_encoder(path).model
    assert open_encoder(path).model == before
    (tmp_path / "weights.bin").write_bytes(np.full(6, 2, np.float32).tobytes())
    assert open_encoder(path).model != before


def test_a_download_that_was_cut_off_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = tmp_path / "checkpoints" / "20180402-114759-vggface2.pt"
    path.parent.mkdir()
    path.write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(
        DataError, match=r"vggface2\.pt: the file holds no weights.*Download or copy it again"
    ):
        open_encoder("vggface2")


def test_without_internet_it_is_said_what_to_download(tmp_path, monkeypatch):
    import facenet_pytorch as facenet

    def offline(*arguments):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(facenet.models.inception_resnet_v1, "download_url_to_file", offline)
    with pytest.raises(
        DataError, match=r"(?s)casia-webface.*20180408-102900-casia-webface\.pt.*--encoder FILE\.pt"
    ):
        open_encoder("casia-webface")
