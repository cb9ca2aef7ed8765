"""espeak-ng: the engine that works everywhere."""
