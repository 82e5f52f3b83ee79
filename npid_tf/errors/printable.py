"""Text of others on a terminal, which would obey what is written in it."""

import unicodedata

_UNSAFE = ("Cc", "Cs", "Zl", "Zp")  # Control characters, lone surrogates, line breaks.
_TURNS = set("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def is_unicode(text):
    """Whether a text can be written as UTF-8; a file's name of other bytes cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def printable(text, keep=""):
    """The text with escapes, as in a Python literal, for what a terminal would obey.

    keep: characters that stay as they are, as the line breaks of a message.
    """
    return "".join(
        character.encode("unicode_escape").decode()
        if character not in keep
        and (unicodedata.category(character) in _UNSAFE or character in _TURNS)
        else character
        for character in text
    )
