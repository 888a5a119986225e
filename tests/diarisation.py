"""What tests of pyannote.audio share: local parts that stand in for its networks, and its pipeline."""

import os

import numpy as np
import torch

from tests.conftest import voice

# It reports its use to its makers, unless it is told otherwise before it is imported.
os.environ["PYANNOTE_METRICS_ENABLED"] = "0"
RATE = 16000
AGGLOMERATIVE = ("AgglomerativeClustering", {"method": "centroid", "min_cluster_size": 2, "threshold": 0.5})
VBX = ("VBxClustering", {"threshold": 0.6, "Fa": 0.07, "Fb": 0.8})


def talk():
    """Samples of two voices in turn, 2.5 s each."""
    turns = [(110, 1.0), (210, 0.8), (110, 1.0), (210, 0.8)]
    parts = [voice(*turn, 2.5, np.random.default_rng(k)) for k, turn in enumerate(turns)]
    return np.concatenate(parts).astype(np.float32)


def segmentation_network():
    """pyannote's smallest segmentation network, random: one of two speakers talks at a time, a third never."""
    from pyannote.audio.core.task import Problem, Resolution, Specifications
    from pyannote.audio.models.segmentation.debug import SimpleSegmentationModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = SimpleSegmentationModel()
        network.specifications = Specifications(
            Problem.MULTI_LABEL_CLASSIFICATION, Resolution.FRAME, duration=2.0, classes=["a", "b", "c"]
        )
        network.build()
    with torch.no_grad():
        network.classifier.weight[1] = -network.classifier.weight[0]
        network.classifier.weight[2] = 0
        network.classifier.bias.copy_(torch.tensor([0.0, 0.0, -9.0]))
    return network


def local_plda(folder, size):
    """A PLDA of pyannote's that changes nothing, through its files in `folder`."""
    from pyannote.audio.core.plda import PLDA

    zeros, unit = np.zeros(size), np.eye(size)
    np.savez(folder / "xvec_transform.npz", mean1=zeros, mean2=zeros, lda=unit)
    np.savez(folder / "plda.npz", mu=zeros, tr=unit, psi=np.linspace(2, 1, size))
    return PLDA.from_pretrained(folder)


def diarise(plda, segmentation, embedding, clustering, parameters, samples):
    """The pipeline's output, and what it says of its steps by their names."""
    from pyannote.audio.pipelines import SpeakerDiarization

    pipeline = SpeakerDiarization(
        segmentation=segmentation,
        embedding=embedding,
        plda=plda,
        clustering=clustering,
        embedding_batch_size=7,
    )
    pipeline.instantiate(
        {"segmentation": {"threshold": 0.5, "min_duration_off": 0.0}, "clustering": parameters}
    )
    steps = {}

    def keep(name, artefact, **_):
        if artefact is not None:
            steps.setdefault(name, []).append(artefact)

    audio = {"waveform": torch.from_numpy(samples)[None], "sample_rate": RATE, "uri": "talk"}
    return pipeline(audio, hook=keep), steps


def heard(steps, samples):
    """Of each fifth chunk of 2 s, one every 0.2 s, and its speakers: samples, mask [frames], embedding found."""
    masks = (steps["segmentation"][-1].data > 0.5).astype(np.float32)
    for k in range(0, 40, 5):
        chunk = samples[k * RATE // 5 :][: 2 * RATE]
        for speaker, found in enumerate(steps["embeddings"][-1][k]):
            yield chunk, masks[k][:, speaker], found


def masked(model, chunk, mask):
    """The embedding [D] of the frames that the mask [m] keeps, by hand; NaN where they are fewer than ten."""
    with torch.inference_mode():
        features = model.encoder.features(torch.from_numpy(chunk)[None])
        places = np.arange(features.shape[1]) * len(mask) // features.shape[1]
        kept = features[:, mask[places] > 0.5]
        if kept.shape[1] < 10:
            return np.full(model.embedding_size, np.nan)
        return model.encoder.student(kept - kept.mean(dim=1, keepdim=True))[0].numpy()
