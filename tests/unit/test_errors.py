"""What a user sees of an error, and the exit code."""

from cmd_speaker.errors import DataError, UsageError, exit_code_of


def raising(error):
    raise error


def test_exit_codes_and_messages(capsys):
    refused = PermissionError(13, "Permission denied", "a.csv")
    cases = (
        (UsageError("wrong"), 2, "error: wrong\n"),
        (DataError("no row", file="a.csv", row=3, expected=1, found=2, fix="Add it"), 3,
         "error: a.csv, row 3: no row (expected 1, found 2). Add it.\n"),
        (refused, 3, "error: a.csv: Permission denied\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    )  # fmt: skip
    for error, code, text in cases:
        assert exit_code_of(raising, error) == code
        assert capsys.readouterr().err == text
    assert exit_code_of(lambda: None) == 0
