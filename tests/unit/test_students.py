"""What holds for every student: its size, and the shortest audio."""

import inspect

import numpy as np
import pytest
import torch
from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN

from cmd_speaker.audio import MIN_SECONDS, SAMPLE_RATE
from cmd_speaker.brain import unwrapped
from cmd_speaker.encoder import SpeakerEncoder
from cmd_speaker.features import FRONT_ENDS, KaldiFbank, build_front_end
from cmd_speaker.model import SpeakerModel
from cmd_speaker.students import STUDENTS, build_student
from cmd_speaker.students.ecapa import speechbrain_arguments
from cmd_speaker.students.pooling import StatisticsPooling


def parameters(name, **arguments):
    with torch.device("meta"):  # no numbers are needed to count them
        return sum(p.numel() for p in build_student(name, **arguments).parameters())


def test_parameters_of_resnet34():
    """32 channels, 80 mels, 256-d; a 3 x 3 convolution from a to b channels has 9ab weights, a BatchNorm of b 2b.

    stem: 9 * 32 + 64 = 352
    stage 1: 3 blocks of 2 * (9 * 32 * 32) + 2 * 64 = 18,560 -> 55,680
    stage 2: 9 * 32 * 64 + 9 * 64 * 64 + 2 * 128 + shortcut 32 * 64 + 128 = 57,728;
             3 blocks of 2 * 36,864 + 256 = 73,984 -> 279,680
    stage 3: 73,728 + 147,456 + 512 + 8,192 + 256 = 230,144; 5 of 2 * 147,456 + 512 = 295,424 -> 1,707,264
    stage 4: 294,912 + 589,824 + 1,024 + 32,768 + 512 = 919,040; 2 of 2 * 589,824 + 1,024 -> 3,280,384
    linear: 2 statistics * 256 channels * 10 frequencies * 256 + 256 = 1,310,976
    Together 6,634,336; WeSpeaker's table of VoxCeleb results has 6.63 M for this network.
    """
    assert parameters("resnet34") == 352 + 55_680 + 279_680 + 1_707_264 + 3_280_384 + 1_310_976


def test_parameters_of_the_x_vector():
    """The paper counts 4.2 M up to the embedding: 24 features, weights of the layers without biases and BatchNorm.

    5 * 24 * 512 + 2 * 3 * 512 * 512 + 512 * 512 + 512 * 1500 + 3000 * 512 = 4,200,448.
    Biases: 4 * 512 + 1500 + 512 = 4,060. BatchNorm: 2 * (4 * 512 + 1500) = 7,096.
    """
    assert parameters("xvector", n_mels=24) == 4_200_448 + 4_060 + 7_096


@pytest.mark.parametrize(("width", "published"), [(512, 6.2e6), (1024, 14.7e6)])
def test_parameters_of_ecapa(width, published):
    """Table 1 of Desplanques et al. (2020): 6.2 and 14.7 million."""
    assert parameters("ecapa_tdnn", width=width) == pytest.approx(published, rel=0.01)


@pytest.mark.parametrize("name", STUDENTS)
@pytest.mark.parametrize("front_end", FRONT_ENDS)
def test_the_shortest_audio_has_an_embedding(name, front_end):
    torch.manual_seed(0)
    student = build_student(name, n_mels=40, width=16, embedding_size=24)
    model = SpeakerModel(SpeakerEncoder(build_front_end(front_end, n_mels=40), student))
    samples = np.random.default_rng(0).standard_normal(round(MIN_SECONDS * SAMPLE_RATE))
    vector = model.embed((0.1 * samples).astype(np.float32))
    assert vector.shape == (24,)
    assert np.isfinite(vector).all()


@pytest.mark.parametrize("name", STUDENTS)
def test_every_parameter_is_trained_and_embedding_moves_no_random_state(name):
    torch.manual_seed(0)
    student = build_student(name, width=16, embedding_size=24)
    features = KaldiFbank()(0.1 * torch.randn(4, 6000))
    student.train()(features).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in student.parameters())
    before = torch.get_rng_state()
    student.eval()(features)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("frames", [11, 200])
def test_ecapa_is_speechbrains(frames):
    """Embeddings, gradients and running statistics, though not by the same multiplications."""
    torch.manual_seed(0)
    student = build_student("ecapa_tdnn", width=16, embedding_size=24)
    original = ECAPA_TDNN(**speechbrain_arguments(80, 16, 24))
    original.load_state_dict(student.state_dict())
    features = torch.randn(4, frames, 80)
    results = []
    for network in (student.train(), original.train()):
        network(features).flatten(1).square().sum().backward()
        embeddings = network.eval()(features).detach().flatten(1)
        gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
        results.append({"embeddings": embeddings, **gradients, **network.state_dict()})
    ours, theirs = results
    assert ours.keys() == theirs.keys()
    for name, expected in theirs.items():
        difference = (ours[name] - expected).double().norm() / expected.double().norm().clamp_min(1e-3)
        assert difference < 1e-5, name


@pytest.mark.parametrize("name", ["ecapa_tdnn", "xvector"])
def test_nothing_is_copied_in_order_to_pad_it_by_nothing(name, monkeypatch):
    pad, widths = torch.nn.functional.pad, []

    def counted(x, padding, *rest, **options):
        widths.append(sum(padding))
        return pad(x, padding, *rest, **options)

    monkeypatch.setattr(torch.nn.functional, "pad", counted)
    build_student(name, width=16, embedding_size=24).eval()(torch.randn(1, 50, 80))
    assert widths
    assert min(widths) > 0


@pytest.mark.parametrize("name", STUDENTS)
def test_a_students_arguments_describe_it(name):
    """What goes into model.json is all that the constructor takes; width and size may be left to it."""
    student = build_student(name, n_mels=40, width=8, embedding_size=12)
    assert student.config() == {"n_mels": 40, "width": 8, "embedding_size": 12}
    assert inspect.signature(STUDENTS[name]).parameters.keys() == student.config().keys()
    assert student.embedding_size == 12


def test_an_unknown_student():
    with pytest.raises(
        ValueError, match="unknown student 'resnet': expected ecapa_tdnn or resnet34 or xvector"
    ):
        build_student("resnet")


def test_statistics_of_three_frames():
    """1, 2, 6: mean 3, variance (4 + 1 + 9) / 3 = 14 / 3. A constant has the least deviation, and a gradient."""
    x = torch.tensor([[[1.0, 5.0], [2.0, 5.0], [6.0, 5.0]]], requires_grad=True)
    pooled = StatisticsPooling()(x)
    torch.testing.assert_close(pooled.detach(), torch.tensor([[3.0, 5.0, (14 / 3) ** 0.5, 1e-5**0.5]]))
    pooled.sum().backward()
    assert x.grad.isfinite().all()


def test_a_compiled_student_is_unwrapped():
    """Its weights must go to the model folder under their own names."""
    student = build_student("xvector", n_mels=40, width=8, embedding_size=4)
    assert unwrapped(torch.compile(student)) is student
    assert unwrapped(student) is student
