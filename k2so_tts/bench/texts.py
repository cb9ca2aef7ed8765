"""The texts that measurements speak."""

WARM_UP = "Ready."
SHORT = "Hello, I am K-2SO."
LONG = "the robot said that it would be here to help you again today " * 77
"""1001 words without punctuation, where it could be split."""
PARAGRAPH = (
    "I am K-2SO. I begin with the first words while I am still making the last ones. "
    "Nobody has to wait, and what you hear is the same to the last sample."
)
MINUTE = f"{PARAGRAPH} " * 20
"""More than two minutes of speech."""
