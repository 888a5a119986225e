"""What preparations of corpora have in common when they refuse."""

import pytest

from cmd_speaker.errors import DataError, DataErrors, UsageError


def refused(prepare, root, output, *texts, **options):
    """`prepare(root, output)` must raise an error whose message holds `texts`, and write nothing."""
    with pytest.raises((DataError, DataErrors, UsageError)) as caught:
        prepare(root, output, **options)
    for text in texts:
        assert text in str(caught.value)
    assert not output.exists()
