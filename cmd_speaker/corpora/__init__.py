"""What each corpus should look like, and whether a folder does: `cmd-speaker check-data`.

Counts are those of the official release. A folder that holds a part of it is fine and noted; what
does not fit together, is missing or unreadable is a problem.
"""

from __future__ import annotations

from pathlib import Path

from cmd_speaker.corpora.catalogue import CORPORA, find_corpus
from cmd_speaker.corpora.corpus import CheckReport, CheckRow, Corpus, ExpectedFile, check_file
from cmd_speaker.corpora.trial_lists import VOXCELEB1_LISTS, list_name, recognise_list
from cmd_speaker.errors import DataError

__all__ = [
    "CORPORA",
    "VOXCELEB1_LISTS",
    "CheckReport",
    "CheckRow",
    "Corpus",
    "ExpectedFile",
    "check_data",
    "find_corpus",
    "list_name",
    "recognise_list",
]


def check_data(name: str, path: str | Path, *, full: bool = False) -> CheckReport:
    """Compare the folder `path` with what the corpus `name` should look like.

    Audio is judged by its headers; `full` decodes every file. Problems are rows of the report.

    Raises `UsageError` (unknown name) or `DataError` (no such folder).
    """
    corpus, root = find_corpus(name), Path(path)
    if not root.is_dir():
        raise DataError(
            f"no such folder for {corpus.title}", file=root, expected=f"\n{corpus.tree}", found="nothing",
            fix="Give the top folder of the corpus",
        )  # fmt: skip
    rows = [row for expected in corpus.files for row in check_file(root, expected)]
    return CheckReport(name, root, rows + corpus.check(root, full))
