"""A Centrifugo-compatible server for development and tests, in one Python process.

Centrifugo is in no package registry, so that a fresh checkout and CI use this server instead. It
has the JSON client protocol and the HTTP API of Centrifugo 6, and keeps all state in memory. Only
`transport`, `http`, `site` and `server` use aiohttp; the other modules do no I/O and take a clock.
"""
