"""Build hook: the JavaScript SDK goes into wheel and sdist, though it is never committed."""

from __future__ import annotations

import runpy
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

REMEDY = (
    "The package carries the JavaScript SDK of Centrifugo, which is installed from npm. "
    "Run `make setup` in the checkout, or install Node.js, and build again."
)


class SdkHook(BuildHookInterface[Any]):
    """Installs the SDK where it is missing; an editable install gets it from `make setup`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Raises RuntimeError, with the remedy, where the SDK is missing and cannot be had."""
        if version == "editable":
            return
        tool = runpy.run_path(str(Path(self.root) / "tools" / "sdk.py"))
        if tool["TARGET"].exists():
            return
        try:
            tool["install"]()
        except (FileNotFoundError, subprocess.CalledProcessError) as error:
            raise RuntimeError(f"{error}\n{REMEDY}") from error
