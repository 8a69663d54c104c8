"""Rosters, their messages and commits: pure, without Django and without I/O."""

from presence.roster.messages import Member

__all__ = ["Member"]
