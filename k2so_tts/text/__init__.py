"""Text in: speakable form, streams of pieces, and segments to synthesise one by one."""
