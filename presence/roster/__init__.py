"""The pure core: rosters, their messages, and what a tick writes. Knows neither Django nor I/O."""

from presence.roster.messages import Member

__all__ = ["Member"]
