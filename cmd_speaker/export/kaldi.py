"""A folder as Kaldi's speaker recipes have it: `xvector.scp`, `xvector.ark`, `utt2spk`, `spk2utt`.

It is what `ivector-compute-plda`, `ivector-mean` and `ivector-plda-scoring` read. Sorted as Kaldi demands, by the
bytes of the ids. See Kaldi's documentation, "Data preparation".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cmd_speaker.embeddings import Embeddings, load_embeddings
from cmd_speaker.errors import DataError, DataErrors
from cmd_speaker.files import new_folder
from cmd_speaker.kaldi_vectors import write_scp
from cmd_speaker.lists.lines import encode_ids

ARCHIVE = "xvector.ark"


def export_kaldi(embeddings: Embeddings, speakers: Mapping[str, str], out: str | Path) -> int:
    """Write embeddings with their speakers as a folder `out`; the number of speakers.

    `speakers` maps at least every utterance that has an embedding. The archive is named with its whole path: make
    the export again where it is to lie. Raises `DataErrors` for utterances without a speaker, and `DataError` for
    ids that are not one word or occur twice, where the folder is there already or cannot be written, and where the
    archive does not read back to the same bits.
    """
    out = Path(out)
    index = embeddings.index()
    missing = [name for name in embeddings.ids if name not in speakers]
    if missing:
        errors = [
            DataError(f"'{name}' has no speaker", file=embeddings.path, fix="Add it to the list of speakers")
            for name in missing
        ]
        raise DataErrors(f"{len(missing)} of {len(embeddings)} embeddings cannot be exported", errors)
    # The order of code points is that of the bytes in UTF-8.
    ids = sorted(embeddings.ids)
    encode_ids(out / "spk2utt", [*ids, *(speakers[name] for name in ids)])
    vectors = embeddings.vectors[[index[name] for name in ids]]
    utterances = defaultdict(list)
    for name in ids:
        utterances[speakers[name]].append(name)
    with new_folder(out) as folder:
        _write_vectors(folder, out, ids, vectors)
        _write_lines(folder / "utt2spk", [(name, speakers[name]) for name in ids])
        _write_lines(folder / "spk2utt", [(who, *utterances[who]) for who in sorted(utterances)])
    return len(utterances)


def _write_vectors(folder: Path, out: Path, ids: list[str], vectors: np.ndarray) -> None:
    """The archive and its table, which names the archive where it will lie: in `out`."""
    table = folder / "xvector.scp"
    write_scp(table, ids, vectors)
    written = load_embeddings(table)
    if written.ids != ids or not np.array_equal(written.vectors, vectors):
        raise DataError("the archive does not hold what was written", file=out, fix="Export it again")
    lines = table.read_text(encoding="utf-8").replace(
        f" {folder / ARCHIVE}:", f" {out.absolute() / ARCHIVE}:"
    )
    table.write_text(lines, encoding="utf-8", newline="\n")


def _write_lines(path: Path, rows: list[tuple[str, ...]]) -> None:
    text = "".join(f"{' '.join(row)}\n" for row in rows)
    path.write_text(text, encoding="utf-8", newline="\n")
