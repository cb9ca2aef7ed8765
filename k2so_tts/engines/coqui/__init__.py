"""Neural voices of coqui-tts: VITS, XTTS and others."""
