"""Made-up people with real connections, who come into a room and move about on its surface.

`people` and `walk` make them up, `guest` connects one of them, `gathering` all of them, and
`tally` counts what they do. What connects needs centrifuge-python; the rest does not.
"""
