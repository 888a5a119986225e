"""Quality on a common scale, and the weights from it: hand-worked values, sources by name, several processes."""

import math

import pytest
import torch

from cmd_speaker.losses.quality import StandardisedQuality, quality_weights
from cmd_speaker.training.objective import QualityWeights
from tests.batches import student_batch, teacher_batch

BATCHES = torch.tensor([[2.0, 4, 6, 9, 1, 7], [3.0, 3, 8, 2, 5, 4], [90.0, 91, 95, 99, 1, 2]])
"""The values of three steps."""
KNOWN = torch.tensor([[True] * 6, [True, True, True, False, False, False], [False] * 6])
"""Of the second step the second process knows nothing, of the third nobody knows anything."""


def everybody(values):
    return torch.ones_like(values, dtype=torch.bool)


def standardised(quality, values):
    values = torch.tensor(values)
    return quality(values, everybody(values)).tolist()


def of_sources(of_speech, of_teacher, **arguments):
    """Weights of a batch without a past, from raw qualities by name."""
    size = len(next(iter(of_teacher.values())))
    student = student_batch(torch.ones(size, 2))._replace(quality=_tensors(of_speech))
    t = teacher_batch(torch.ones(size, 2), quality=_tensors(of_teacher))
    return QualityWeights(**arguments)(student, t).tolist()


def _tensors(values):
    return {name: torch.tensor(each) for name, each in values.items()}


def test_quality_by_hand():
    quality = StandardisedQuality()
    # First batch (1, 4, 4, 7): mean 4, variance (9 + 0 + 0 + 9) / 4 = 4.5.
    third = 1 / math.sqrt(4.5)
    assert standardised(quality, [1.0, 4.0, 4.0, 7.0]) == pytest.approx([-third, 0, 0, third])
    # Second batch (8, 8, 8, 8): all eight samples have the mean 6 and the variance (25 + 2 * 4 + 1 + 4 * 4) / 8.
    standardised(quality, [8.0] * 4)
    assert (float(quality.mean), float(quality.variance)) == pytest.approx((6, 6.25))
    quality.eval()
    assert standardised(quality, [100.0, -100.0]) == [1.0, -1.0]
    assert float(quality.mean) == pytest.approx(6.0)


def test_old_batches_fade():
    quality = StandardisedQuality(momentum=0.5)
    for value in (0.0, 2.0, 4.0):
        standardised(quality, [value, value])
    # Means: 0; (0 + 2) / 2 = 1; (1 + 4) / 2 = 2.5.
    # Variances: 0; 0.5 * 0.5 * 2^2 = 1; 0.5 * (1 + 0.5 * 3^2) = 2.75.
    assert (float(quality.mean), float(quality.variance)) == pytest.approx((2.5, 2.75))


def test_equal_values_have_no_quality():
    assert standardised(StandardisedQuality(), [3.0] * 8) == [0.0] * 8


def test_unknown_samples_have_quality_0_and_do_not_count():
    quality = StandardisedQuality()
    values = torch.tensor([1.0, 4.0, math.nan, 4.0, 7.0, 1e9])
    known = torch.tensor([True, True, False, True, True, False])
    third = 1 / math.sqrt(4.5)
    assert quality(values, known).tolist() == pytest.approx([-third, 0, 0, 0, third, 0])
    quality(values, torch.zeros(6, dtype=torch.bool))
    assert (float(quality.mean), float(quality.variance), int(quality.batches)) == (4, 4.5, 1)


def _process(rank, rendezvous, found):
    torch.distributed.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=2)
    quality, half = StandardisedQuality(), slice(3 * rank, 3 * rank + 3)
    for values, known in zip(BATCHES[:, half], KNOWN[:, half], strict=True):
        last = quality(values, known)
    found.put((rank, float(quality.mean), float(quality.variance), last.tolist()))
    torch.distributed.destroy_process_group()


def test_two_processes_are_one(tmp_path):
    """Also where one of them, or both, knows of no sample: nobody waits for it."""
    alone = StandardisedQuality()
    for values, known in zip(BATCHES, KNOWN, strict=True):
        last = alone(values, known)
    context = torch.multiprocessing.get_context("spawn")
    found = context.Queue()
    rendezvous = (tmp_path / "rendezvous").as_uri()
    started = [context.Process(target=_process, args=(rank, rendezvous, found)) for rank in range(2)]
    for process in started:
        process.start()
    results = sorted(found.get(timeout=60) for _ in started)
    for process in started:
        process.join(60)
    for _, mean, variance, _ in results:
        assert (mean, variance) == pytest.approx((float(alone.mean), float(alone.variance)), abs=1e-6)
    assert [*results[0][3], *results[1][3]] == pytest.approx(last.tolist(), abs=1e-6)
    # First step: mean 29/6; second: values 3, 3, 8, mean 14/3; third: none.
    assert float(alone.mean) == pytest.approx((29 / 6 + 14 / 3) / 2, abs=1e-6)


def test_weights_by_hand():
    teacher, student = torch.tensor([0.5, -1.0, 0.0]), torch.tensor([0.0, 1.0, 0.0])
    assert quality_weights(teacher, student).tolist() == [1.5, 0.0, 1.0]
    assert quality_weights(teacher, student, slope=2.0, offset=0.5).tolist() == [1.5, 0.0, 0.5]


def test_sources_by_name_by_hand():
    # Q_T of (1, 4, 4, 7) is (-1, 0, 0, 1) / sqrt(4.5), Q_S of (30, 20, 20, 10) is (1, 0, 0, -1) / sqrt(4.5).
    speech = {"snr": [30.0, 20, 20, 10]}
    teacher = {"norm": [5.0, 5, 6, 6], "face_size": [1.0, 4, 4, 7]}
    found = of_sources(speech, teacher, teacher="face_size", student="snr")
    assert found == pytest.approx([1 - 2 / math.sqrt(4.5), 1, 1, 1 + 2 / math.sqrt(4.5)], abs=1e-6)


def test_more_clipping_is_less_quality():
    # The shares (0.4, 0.2, 0.2, 0) have the mean 0.2 and the deviation
    # sqrt(0.02): Q_S is (-1, 0, 0, 1) * 0.2 / sqrt(0.02) / 3.
    speech, teacher = {"clipping": [0.4, 0.2, 0.2, 0]}, {"norm": [1.0, 2, 3, 4]}
    found = of_sources(speech, teacher, teacher="none", student="clipping")
    assert found == pytest.approx([1 + 2 / math.sqrt(18), 1, 1, 1 - 2 / math.sqrt(18)])


def test_raw_values_without_standardisation():
    found = of_sources(
        {"snr": [0.0, 1, 2]},
        {"oracle": [1.0, 0, 1]},
        teacher="oracle",
        student="none",
        standardise=False,
        offset=0,
    )
    assert found == [1, 0, 1]


def test_weights_are_detached():
    student = student_batch(torch.randn(6, 4, requires_grad=True))
    assert not QualityWeights()(student, teacher_batch(torch.randn(6, 4))).requires_grad


@pytest.mark.parametrize("standardise", [True, False])
def test_a_sample_without_teacher_weighs_nothing(standardise):
    t = teacher_batch(torch.randn(4, 3), matched=[True, False, True, False])
    t.quality["norm"][1] = math.inf
    weights = QualityWeights(standardise=standardise, offset=9)(student_batch(torch.randn(4, 3)), t)
    assert weights[1] == weights[3] == 0
    assert weights[0] > 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"teacher": 3}, "quality, teacher: expected the name of a source, found 3"),
        ({"student": None}, "quality, student: expected the name of a source, found None"),
        ({"slope": math.nan}, "quality, slope: expected a finite number"),
        ({"offset": "1"}, "quality, offset: expected a finite number"),
    ],
)
def test_wrong_arguments_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        QualityWeights(**wrong)
