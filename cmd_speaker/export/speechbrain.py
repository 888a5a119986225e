"""A folder for SpeechBrain's `EncoderClassifier` and `SpeakerRecognition`, and for the Hugging Face hub.

`hyperparams.yaml` names the modules, `embedding_model.ckpt` holds the weights as safetensors (SpeechBrain expects
the name, no pickle is in it), `README.md` is the model card. There are no paths in it: the folder may be moved.

SpeechBrain alone loads an ECAPA-TDNN on its own filterbank. The front-end `kaldi_fbank`, ResNet34 and the x-vector
are classes of this package, which must be installed where such a folder is loaded: SpeechBrain has nothing that is
the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

from cmd_speaker.audio import SAMPLE_RATE
from cmd_speaker.encoder import SpeakerEncoder
from cmd_speaker.errors import DataError
from cmd_speaker.export.card import model_card
from cmd_speaker.export.parity import WITHIN_TORCH, Parity, check_parity
from cmd_speaker.features import SpeechBrainFbank
from cmd_speaker.files import new_folder
from cmd_speaker.model import SpeakerModel
from cmd_speaker.students.ecapa import EcapaTdnn, speechbrain_arguments

YAML = """\
# Written by cmd-speaker for SpeechBrain 1.1: EncoderClassifier and SpeakerRecognition.from_hparams(source=FOLDER).
{imports}compute_features: !new:{front_end}
mean_var_norm: !new:speechbrain.processing.features.InputNormalization
  norm_type: sentence
  std_norm: False
{student}
# There are neither statistics of embeddings (normalize=True fails) nor training speakers (classify_batch fails).
mean_var_norm_emb: !new:speechbrain.processing.features.InputNormalization
  norm_type: global
  std_norm: False
classifier: !new:torch.nn.Identity
modules:
  compute_features: !ref <compute_features>
  mean_var_norm: !ref <mean_var_norm>
  embedding_model: !ref <embedding_model>
  mean_var_norm_emb: !ref <mean_var_norm_emb>
  classifier: !ref <classifier>
pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
  loadables:
    embedding_model: !ref <{loaded}>
  custom_hooks:
    embedding_model: !name:safetensors.torch.load_model
"""


class WholeRecordings(nn.Module):
    """A student of this package as SpeechBrain calls it: features and relative lengths -> [batch, 1, D].

    Raises `DataError` for lengths other than 1: what is padded would change the embedding.
    """

    def __init__(self, student: nn.Module) -> None:
        super().__init__()
        self.student = student

    def forward(self, features: Tensor, lengths: Tensor | None = None) -> Tensor:
        if lengths is not None and (lengths != 1).any():
            raise DataError(
                "this model takes no padded batches", expected="relative lengths of 1",
                found=f"{float(lengths.min()):.3f}", fix="Give recordings one at a time, or equally long ones",
            )  # fmt: skip
        return self.student(features).unsqueeze(1)


def export_speechbrain(
    model: SpeakerModel,
    out: str | Path,
    *,
    results: Mapping[str, Any] | None = None,
    licence: str | None = None,
) -> Parity:
    """Write `model` as a folder `out`; `results` and `licence` are for its card.

    Raises `DataError` where the folder is there already or cannot be written, and where SpeechBrain gives other
    embeddings.
    """
    out = Path(out)
    with new_folder(out) as folder:
        (folder / "hyperparams.yaml").write_text(hyperparams(model.encoder), encoding="utf-8")
        state = {name: value.contiguous().cpu() for name, value in model.encoder.student.state_dict().items()}
        (folder / "embedding_model.ckpt").write_bytes(save(state))
        parity = _check(model, folder, out)
        card = model_card(
            model, results=results, licence=licence, parity=parity, needs_package=needs_package(model.encoder)
        )
        (folder / "README.md").write_text(card, encoding="utf-8")
    return parity


def needs_package(encoder: SpeakerEncoder) -> bool:
    """Whether cmd-speaker must be installed where the folder is loaded."""
    pair = type(encoder.front_end), type(encoder.student)
    return pair != (SpeechBrainFbank, EcapaTdnn)


def hyperparams(encoder: SpeakerEncoder) -> str:
    """The YAML that describes an encoder to SpeechBrain."""
    front_end, student = encoder.front_end, encoder.student
    if type(front_end) is SpeechBrainFbank:
        fbank = _module("speechbrain.lobes.features.Fbank", sample_rate=SAMPLE_RATE, **front_end.config())
    else:
        fbank = _module(_name(front_end), **front_end.config())
    if type(student) is EcapaTdnn:
        arguments = speechbrain_arguments(**student.config())
        name = "speechbrain.lobes.models.ECAPA_TDNN.ECAPA_TDNN"
        lines, loaded = f"embedding_model: !new:{_module(name, **arguments)}", "embedding_model"
    else:
        lines = f"student: !new:{_module(_name(student), **student.config())}\n"
        lines += f"embedding_model: !new:{_name(WholeRecordings(student))}\n  student: !ref <student>"
        loaded = "student"
    imports = "# Needs the package cmd-speaker.\n" if needs_package(encoder) else ""
    return YAML.format(imports=imports, front_end=fbank, student=lines, loaded=loaded)


def _module(name: str, **arguments: Any) -> str:
    return name + "".join(f"\n  {key}: {value}" for key, value in arguments.items())


def _name(module: nn.Module) -> str:
    return f"{type(module).__module__}.{type(module).__qualname__}"


def _check(model: SpeakerModel, folder: Path, out: Path) -> Parity:
    from speechbrain.inference.speaker import SpeakerRecognition

    # Building modules draws random weights, which the saved ones replace.
    with torch.random.fork_rng(devices=[]):
        client = SpeakerRecognition.from_hparams(source=str(folder), run_opts={"device": "cpu"})

    @torch.inference_mode()
    def embed(waveforms: np.ndarray) -> np.ndarray:
        return client.encode_batch(torch.from_numpy(waveforms)).squeeze(1).numpy()

    return check_parity(model, embed, f"SpeechBrain {version('speechbrain')}", WITHIN_TORCH, out)
