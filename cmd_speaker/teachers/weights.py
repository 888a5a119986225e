"""A checksum over a module's weights."""

from __future__ import annotations

import hashlib

from torch import nn


def weights_checksum(module: nn.Module, before: bytes = b"") -> str:
    """SHA-256 over `before` and every name and tensor of the module's state, in hexadecimal."""
    digest = hashlib.sha256(before)
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()
