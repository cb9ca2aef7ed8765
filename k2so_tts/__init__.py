"""Streaming speech for robots: text in, sound out, and to the millisecond when it was heard."""

__version__ = "0.1.0"
