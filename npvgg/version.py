"""The version of npvgg, as files and answers name it."""

__version__ = "0.1.0"
