"""Tests with hostile input: texts, messages, parameters, files."""
