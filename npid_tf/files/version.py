"""The package's version, which pyproject.toml and every artifact read."""

__version__ = "0.2.0"
