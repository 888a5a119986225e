"""Speaker recognition whose models were taught by a richer modality.

`SpeakerModel` loads a trained student and embeds audio; everything else lives in the sub-packages.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["SpeakerModel", "__version__"]

if TYPE_CHECKING:
    from cmd_speaker.model import SpeakerModel


def __getattr__(name: str) -> Any:
    # torch is imported on first use only, so that the command line and the metrics start fast.
    if name == "SpeakerModel":
        from cmd_speaker.model import SpeakerModel

        return SpeakerModel
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
