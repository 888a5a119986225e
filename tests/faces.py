"""Face encoders as ONNX files, small enough for tests, and pictures in which a face is."""

import numpy as np
import onnx
from matplotlib.cbook import get_sample_data
from onnx import TensorProto, helper
from PIL import Image

AXES = {"NCHW": (0, 3, 1, 2), "NHWC": (0, 1, 2, 3)}


def write_graph(path, nodes, inputs, output):
    """A graph; `inputs` are (name, type, shape), the last of `nodes` makes "y" of shape `output`."""
    graph = helper.make_graph(
        nodes, "graph", [helper.make_tensor_value_info(*each) for each in inputs],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, output)],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def write_encoder(path, layout="NCHW", batch="n", sides=(112, 112), kind=TensorProto.FLOAT):
    """An encoder whose embedding is the mean of each colour, then of each colour's left half: [n, 6]."""
    shape = [(batch, *sides, 3)[axis] for axis in AXES[layout]]
    nodes = [helper.make_node("Cast", ["x"], ["floats"], to=TensorProto.FLOAT)]
    if layout == "NHWC":
        nodes.append(helper.make_node("Transpose", ["floats"], ["picture"], perm=[0, 3, 1, 2]))
    else:
        nodes.append(helper.make_node("Identity", ["floats"], ["picture"]))
    nodes += [
        helper.make_node("Constant", [], ["starts"], value_ints=[0]),
        helper.make_node("Constant", [], ["ends"], value_ints=[56]),
        helper.make_node("Constant", [], ["axes"], value_ints=[3]),
        helper.make_node("Slice", ["picture", "starts", "ends", "axes"], ["left"]),
        helper.make_node("GlobalAveragePool", ["picture"], ["whole_mean"]),
        helper.make_node("GlobalAveragePool", ["left"], ["left_mean"]),
        helper.make_node("Concat", ["whole_mean", "left_mean"], ["both"], axis=1),
        helper.make_node("Flatten", ["both"], ["y"]),
    ]
    # InsightFace's files say 1 here, whatever the batch.
    return write_graph(path, nodes, [("x", kind, shape)], [1, 6])


def grace_hopper():
    """A photograph of the US Navy, in the public domain, that comes with matplotlib: uint8 [600, 512, 3]."""
    with Image.open(get_sample_data("grace_hopper.jpg", asfileobj=False)) as image:
        return np.asarray(image.convert("RGB"))
