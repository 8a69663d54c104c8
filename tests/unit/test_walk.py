"""The path of one tick through the code, by the script that measures it."""

from __future__ import annotations

from tools import walk

FILES, FRAMES = 20, 12
"""At most, for a tick with one join."""


def test_walk_of_one_join_stays_within_its_files_and_frames():
    joined, unchanged = walk.one_join_and_unchanged()
    print(f"one join: {joined} (at most {FILES} files and {FRAMES} frames)")
    assert {"tasks/jobs.py", "sync/tick.py", "centrifugo/gateway.py"} <= set(joined.files)
    assert len(joined.files) <= FILES, joined.files
    assert joined.frames <= FRAMES
    assert set(unchanged.files) <= set(joined.files)
    assert unchanged.frames <= joined.frames
