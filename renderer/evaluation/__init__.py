"""How renderings are judged: distances to a recording, distances between sets, and whether the notes are right.

Everything here measures; nothing renders. What needs more than the renderer itself does says which extra to install.
"""
