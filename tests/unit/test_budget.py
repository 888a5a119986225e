"""The working memory: as people write it, and as it is shared out."""

import pytest

from cmd_speaker.errors import UsageError
from cmd_speaker.scoring.budget import LEAST_MEMORY, Budget


@pytest.mark.parametrize(
    ("text", "expected"),
    [("512M", 2**29), ("1G", 2**30), ("1.5g", 3 * 2**29), ("2 GiB", 2**31), ("99999999", 99999999)],
)
def test_sizes_as_people_write_them(text, expected):
    assert Budget.of(text).memory == expected


@pytest.mark.parametrize("text", ["", "much", "-1G", "15M", "1X", "1,5G"])
def test_other_sizes_are_refused(text):
    with pytest.raises(UsageError, match="--memory takes a size of at least 16M"):
        Budget.of(text)


def test_large_jobs_are_cut_to_a_quarter_each_and_small_ones_are_not():
    small, large = Budget(LEAST_MEMORY, 2), Budget(2**40, 2)
    assert small.cohort_rows(6000, 192) * 2 * (16 * 6000 + 32 * 192) <= LEAST_MEMORY // 4
    assert small.pair_rows(10**6) == 1  # one utterance with all others is the least
    assert small.gathered_trials(100_000) == LEAST_MEMORY // 4 // (8 * 100_000 * 2) == 2
    assert large.cohort_rows(6000, 192) == small.cohort_rows(10, 10) == 256
    assert large.listed_trials() == 65536
    assert large.pair_rows(1000) == 1048
