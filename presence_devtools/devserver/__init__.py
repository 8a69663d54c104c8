"""A Centrifugo-compatible server for development and tests, in one Python process.

Centrifugo is in no package registry, so a newcomer's checkout and CI get this in its place. It
speaks the JSON client protocol and the HTTP API as Centrifugo 6 does; all state is in memory.
Only `transport`, `http` and `server` know aiohttp; the rest is pure and takes its clock.
"""
