"""The package's version, which setup.py and every artifact carry."""

__version__ = "0.2.0"
