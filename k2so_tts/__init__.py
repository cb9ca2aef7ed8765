"""Streaming text-to-speech for robots that knows when each frame of audio was heard."""
