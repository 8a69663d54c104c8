"""The way of one tick through the code, by the script that measures it."""

from __future__ import annotations

from tools import walk

FILES, FRAMES = 20, 12
"""At most, for a tick with one join."""


def test_walk_of_one_join_passes_the_layers_of_the_tick():
    joined, unchanged = walk.one_join_and_unchanged()
    print(f"one join: {joined} (to be at most {FILES} files and {FRAMES} frames)")
    assert {"tasks/jobs.py", "sync/tick.py", "centrifugo/gateway.py"} <= set(joined.files)
    assert set(unchanged.files) <= set(joined.files)
    assert unchanged.frames <= joined.frames
