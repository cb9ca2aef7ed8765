"""The kit for people who add an engine: workers, block-wise decoding, long texts, disk cache."""
