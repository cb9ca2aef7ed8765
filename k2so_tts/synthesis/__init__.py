"""An engine run ahead of playback: from a text to timed chunks in a bounded queue."""
