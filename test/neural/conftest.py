"""What the tests of the neural engines may ask for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Callable[[Path], Any]], Path]:
    """Where a model lies that is made once."""
    made: dict[Callable[[Path], Any], Path] = {}

    def where(maker: Callable[[Path], Any]) -> Path:
        if maker not in made:
            made[maker] = tmp_path_factory.mktemp("model")
            maker(made[maker])
        return made[maker]

    return where
