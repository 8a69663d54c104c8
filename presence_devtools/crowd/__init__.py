"""Made-up people with real connections, who join a room and move cursors on its surface.

`people` and `walk` make up names, colours and moves, `guest` connects one person, `gathering` all
of them, and `tally` counts what they do. Only `guest` and `gathering` need centrifuge-python.
"""
