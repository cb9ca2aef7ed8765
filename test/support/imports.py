"""What must not be imported by those who do not use it."""

from __future__ import annotations

HEAVY = frozenset(
    {
        *("torch", "torchaudio", "TTS", "transformers", "tokenizers", "sentencepiece"),
        *("onnx", "onnxruntime", "piper"),
        *("requests", "urllib3", "httpx", "aiohttp", "http.client"),
        *("matplotlib", "scipy"),
    }
)
"""Neural libraries, tokenizers, HTTP clients and others that take long to import."""
