"""The command line `k2so-tts`, one file per command."""
