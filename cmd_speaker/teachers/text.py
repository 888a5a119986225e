"""Text teachers: a small Transformer trained on the corpus's own texts, or a Hugging Face encoder.

A teacher has `fit(texts)`, called once on the training texts, `embed(texts) -> float32 [n, D]`, not
normalised, `identity()`, a checksum over everything that decides its embeddings, and `source()`, what is known
of that before `fit`.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import sentencepiece
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from cmd_speaker.errors import DataError
from cmd_speaker.progress import track
from cmd_speaker.teachers.weights import weights_checksum

PAD, UNKNOWN, MASK = 0, 1, 2


def text_teacher(folder: str | Path | None = None, **small: int) -> SmallTextTeacher | HuggingFaceTextTeacher:
    """The Hugging Face encoder in `folder`, or without one a `SmallTextTeacher` with the arguments `small`."""
    return HuggingFaceTextTeacher(folder) if folder else SmallTextTeacher(**small)


class SmallTextTeacher:
    """SentencePiece tokeniser and Transformer encoder, both learned from the texts given to `fit`.

    The encoder is pre-trained by masked-token prediction (Devlin et al. 2019) and its outputs are
    averaged over the tokens. It sees no identity: that is the head's part in stage 1 [ours].
    `seed` decides the weights; the global random state is left as it was.
    """

    modality = "text"

    def __init__(
        self,
        vocabulary: int = 256,
        size: int = 64,
        layers: int = 2,
        heads: int = 4,
        steps: int = 400,
        batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        self.vocabulary, self.size, self.layers, self.heads = vocabulary, size, layers, heads
        self.steps, self.batch_size, self.seed = steps, batch_size, seed
        self.tokenizer: sentencepiece.SentencePieceProcessor | None = None
        self.encoder: TextEncoder | None = None

    def fit(self, texts: Sequence[str]) -> None:
        """Train tokeniser and encoder on `texts` (repeats count as emphasis)."""
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts), model_writer=model, vocab_size=self.vocabulary,
            hard_vocab_limit=False, character_coverage=1.0, pad_id=PAD, unk_id=UNKNOWN, bos_id=-1, eos_id=-1,
            control_symbols=["<mask>"], num_threads=1, minloglevel=2,
        )  # fmt: skip
        self.tokenizer = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.encoder = TextEncoder(self.tokenizer.vocab_size(), self.size, self.layers, self.heads)
            _pretrain(self.encoder, [self._tokens(t) for t in texts], self.steps, self.batch_size)
        self.encoder.eval()

    @torch.inference_mode()
    def embed(self, texts: Sequence[str]) -> np.ndarray:
        assert self.encoder is not None, "fit first"
        rows = [self.encoder(torch.tensor([self._tokens(text)]))[0] for text in texts]
        return torch.stack(rows).numpy()

    def identity(self) -> str:
        assert self.encoder is not None, "fit first"
        assert self.tokenizer is not None
        return weights_checksum(self.encoder, self.tokenizer.serialized_model_proto())

    def source(self) -> str:
        sizes = (self.vocabulary, self.size, self.layers, self.heads)
        return f"SmallTextTeacher{(*sizes, self.steps, self.batch_size, self.seed)}"

    def _tokens(self, text: str) -> list[int]:
        assert self.tokenizer is not None
        tokens = self.tokenizer.encode(text)
        if not tokens:
            raise DataError("a text for the teacher is empty", expected="a description", found=repr(text))
        return tokens


class TextEncoder(nn.Module):
    """Token ids [batch, time] (0 is padding) -> mean of the outputs [batch, size]."""

    def __init__(self, vocabulary: int, size: int, layers: int, heads: int, max_tokens: int = 256) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, size, padding_idx=PAD)
        self.positions = nn.Embedding(max_tokens, size)
        self.max_tokens = max_tokens
        layer = nn.TransformerEncoderLayer(
            size, heads, 4 * size, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.transformer = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(size)

    def outputs(self, tokens: Tensor) -> Tensor:
        """[batch, time] -> [batch, time, size]."""
        tokens = tokens[:, : self.max_tokens]
        embedded = self.tokens(tokens) + self.positions.weight[: tokens.shape[1]]
        return self.norm(self.transformer(embedded, src_key_padding_mask=tokens == PAD))

    def forward(self, tokens: Tensor) -> Tensor:
        present = (tokens[:, : self.max_tokens] != PAD)[..., None]
        return (self.outputs(tokens) * present).sum(1) / present.sum(1)


def _pretrain(encoder: TextEncoder, texts: list[list[int]], steps: int, batch_size: int) -> None:
    """Predict 15 % masked tokens from the rest; output weights are tied to the token embeddings."""
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for _ in track(range(steps), "Pre-training the text encoder"):
        chosen = [torch.tensor(texts[i]) for i in torch.randint(len(texts), (batch_size,))]
        tokens = nn.utils.rnn.pad_sequence(chosen, batch_first=True, padding_value=PAD)
        hidden = (torch.rand(tokens.shape) < 0.15) & (tokens != PAD)
        if not hidden[:, : encoder.max_tokens].any():
            continue
        outputs = encoder.outputs(tokens.masked_fill(hidden, MASK))
        hidden = hidden[:, : encoder.max_tokens]
        logits = outputs[hidden] @ encoder.tokens.weight.T
        loss = cross_entropy(logits, tokens[:, : encoder.max_tokens][hidden])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


class HuggingFaceTextTeacher:
    """A frozen Hugging Face text encoder from a local folder; mean of the last hidden states.

    Only safetensors weights are read and no code of the folder is run. Needs the extra `hf`.
    """

    modality = "text"

    def __init__(self, folder: str | Path) -> None:
        try:
            from transformers import AutoModel, AutoTokenizer
        except ImportError as error:
            raise DataError(
                "the text teacher needs transformers", fix="pip install 'cmd-speaker[hf]'"
            ) from error
        self.folder = Path(folder)
        if not (self.folder / "config.json").is_file():
            raise DataError(
                "not a Hugging Face model folder", file=folder,
                expected="config.json, tokenizer files and model.safetensors",
                found=", ".join(sorted(p.name for p in self.folder.glob("*"))) or "nothing",
                fix="Download the model where there is internet and give its folder",
            )  # fmt: skip
        options = {"local_files_only": True, "trust_remote_code": False}
        self.tokenizer = AutoTokenizer.from_pretrained(self.folder, **options)
        self.model = AutoModel.from_pretrained(self.folder, use_safetensors=True, **options).eval()

    def fit(self, texts: Sequence[str]) -> None:
        """Nothing to learn: the encoder is frozen."""

    @torch.inference_mode()
    def embed(self, texts: Sequence[str]) -> np.ndarray:
        rows = []
        for text in texts:
            inputs = self.tokenizer(text, return_tensors="pt", truncation=True)
            rows.append(self.model(**inputs).last_hidden_state[0].mean(0).float())
        return torch.stack(rows).numpy()

    def identity(self) -> str:
        digest = hashlib.sha256()
        for path in sorted(self.folder.iterdir()):
            if path.is_file():
                digest.update(path.name.encode() + path.read_bytes())
        return digest.hexdigest()

    def source(self) -> str:
        return f"Hugging Face encoder, SHA-256 {self.identity()}"
