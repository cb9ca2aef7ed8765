"""The commands of `k2so-tts` that are too long for `cli.py`."""
