"""InceptionResnetV1 (Szegedy et al. 2017), as in facenet-pytorch: 160 by 160 pixels -> 512 numbers."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from cmd_speaker.errors import DataError
from cmd_speaker.faces.alignment import crop_box, resize
from cmd_speaker.faces.detection import Face, facenet
from cmd_speaker.teachers.matching import some

PUBLISHED = {
    "vggface2": "20180402-114759-vggface2.pt",
    "casia-webface": "20180408-102900-casia-webface.pt",
}
"""What the published weights were trained on -> their file."""
RELEASE = "https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9"
PIXELS = 160
MARGIN = 14
"""Pixels around the box, as in facenet-pytorch's evaluation on LFW."""


class InceptionEncoder:
    """The network with its weights; made by `published` or `from_file`."""

    def __init__(self, network: Any, name: str, device: str) -> None:
        import torch

        from cmd_speaker.teachers.weights import weights_checksum

        self.device = device
        self.network = network.eval().requires_grad_(False)
        # A bank holds embeddings at their own length; this network brings them to 1, unless it classifies.
        self.network.classify, self.network.logits = True, torch.nn.Identity()
        self.model = f"InceptionResnetV1 {name}, weights {weights_checksum(network)}"
        self.network.to(device)

    @classmethod
    def published(cls, name: str, device: str = "cpu") -> InceptionEncoder:
        """The weights of this name, downloaded by facenet-pytorch unless it has done so before.

        Raises `DataError` that says how to get them where there is no internet, and as `from_file` does.
        """
        package = facenet().models.inception_resnet_v1
        path = Path(package.get_torch_home()) / "checkpoints" / PUBLISHED[name]
        address = f"{RELEASE}/{path.name}"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                package.download_url_to_file(address, str(path))
        except OSError as error:
            raise DataError(
                f"the face encoder '{name}' cannot be downloaded", expected=address, found=str(error),
                fix="Download that file where there is internet and give it: --encoder FILE.pt",
            ) from error  # fmt: skip
        return cls.from_file(path, device, name)

    @classmethod
    def from_file(cls, path: Path, device: str = "cpu", name: str | None = None) -> InceptionEncoder:
        """Weights from a file; raises `DataError` unless it holds exactly those of this network."""
        import torch

        state = _read_state(path)
        # The classifier over the training identities is in the published files, and not used.
        state = {name: value for name, value in state.items() if not name.startswith("logits.")}
        with torch.device("meta"):
            network = facenet().InceptionResnetV1(pretrained=None)
        wanted = network.state_dict()
        # Older files lack these counters, which only training needs.
        state = {name: torch.tensor(0) for name in wanted if name.endswith("num_batches_tracked")} | state
        _refuse_other_weights(path, wanted, state)
        floats = {
            name: value.float() if value.is_floating_point() else value for name, value in state.items()
        }
        network.load_state_dict(floats, assign=True)
        return cls(network, name or path.name, device)

    def crop(self, picture: np.ndarray, face: Face | None) -> np.ndarray:
        if face is None:
            return resize(picture, PIXELS, PIXELS)
        return crop_box(picture, face.box, PIXELS, MARGIN)

    def embed(self, crops: np.ndarray) -> np.ndarray:
        import torch

        images = torch.tensor(crops, device=self.device).permute(0, 3, 1, 2).float()
        with torch.inference_mode():
            return self.network((images - 127.5) / 128).cpu().numpy()


def _read_state(path: Path) -> dict[str, Any]:
    import torch

    if not path.is_file():
        raise DataError("no such face encoder", file=path, fix="Check the path")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise DataError(
            "the file holds no weights that can be loaded without running its code", file=path,
            expected="a state_dict saved by torch.save", found=str(error).partition("\n")[0],
            fix="Download or copy it again, or save it as torch.save(network.state_dict(), FILE)",
        ) from error  # fmt: skip
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in state.items()
    ):
        raise DataError(
            "no state_dict", file=path, expected="tensors by name", found=type(state).__name__,
            fix="Save it as torch.save(network.state_dict(), FILE)",
        )  # fmt: skip
    return state


def _refuse_other_weights(path: Path, wanted: dict[str, Any], state: dict[str, Any]) -> None:
    shapes = {name: list(value.shape) for name, value in wanted.items()}
    wrong = [f"{name} {list(v.shape)}" for name, v in state.items() if shapes.get(name) != list(v.shape)]
    missing = shapes.keys() - state.keys()
    if wrong or missing:
        found = [f"others: {some(wrong)}"] if wrong else []
        found += [f"missing: {some(missing)}"] if missing else []
        raise DataError(
            "not the weights of InceptionResnetV1", file=path, expected=f"its {len(shapes)} tensors",
            found="; ".join(found), fix="Give weights of that network, or another encoder as an ONNX file",
        )  # fmt: skip
