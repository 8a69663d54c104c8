"""The tick: polls channels, commits rosters and publishes diffs, without Django or settings."""
