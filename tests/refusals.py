"""What preparations of corpora have in common when they refuse."""

import pytest

from cmd_speaker.errors import DataError, DataErrors, UsageError


def refused(call, *parts):
    """Call what must raise an error whose text has all the parts; the error."""
    with pytest.raises((DataError, DataErrors, UsageError)) as caught:
        call()
    for part in parts:
        assert part in str(caught.value)
    return caught.value


def nothing_written(prepare, root, output, *parts, **options):
    """`prepare(root, output)` must be `refused` and write nothing; the error."""
    error = refused(lambda: prepare(root, output, **options), *parts)
    assert not output.exists()
    return error
