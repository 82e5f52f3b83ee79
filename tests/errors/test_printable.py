"""What other people wrote does not steer the terminal."""

import io

import pytest

from npid_tf.command_line import program as command_line
from npid_tf.errors.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\x07", "\\x1b[2J\\x07"),
        ("a\nb\r\t\x7f\x9b", "a\\nb\\r\\t\\x7f\\x9b"),
        ("\ud800 \udcff", "\\ud800 \\udcff"),
        ("\u202egpj.exe\u2066", "\\u202egpj.exe\\u2066"),
        ("a\u2028b", "a\\u2028b"),
        ("photos/ä 日本 👩‍🔬.jpg", "photos/ä 日本 👩‍🔬.jpg"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(text, shown):
    assert printable(text) == shown
    io.TextIOWrapper(io.BytesIO(), "utf-8").write(printable(text))


def test_line_breaks_of_a_message_stay():
    assert printable("a\n\x1b", keep="\n") == "a\n\\x1b"


def test_errors_of_programs_are_printable(capsys):
    with pytest.raises(SystemExit, match="2"):
        command_line._end("Error: \x1b[2J \ud800\nsecond", 2)
    assert capsys.readouterr().err == "Error: \\x1b[2J \\ud800\nsecond\n"
