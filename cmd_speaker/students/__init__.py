"""Speech encoders. Each maps features [batch, frames, mels] to embeddings [batch, embedding_size]."""

from torch import nn

from cmd_speaker.students.ecapa import EcapaTdnn

STUDENTS: dict[str, type[nn.Module]] = {"ecapa_tdnn": EcapaTdnn}
"""Every architecture that a model folder may name."""
