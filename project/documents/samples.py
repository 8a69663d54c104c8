"""The documents that there are from the beginning: title and text."""

SAMPLES = (
    (
        "Notes on the engine",
        "The engine might act upon other things besides number, were objects found whose mutual "
        "relations could be expressed by those of the abstract science of operations.",
    ),
    (
        "Letter to the computing bureau",
        "Please check the third column of the enclosed table once more. Two of us found "
        "different values for the seventh row, and both of us are sure.",
    ),
    (
        "Moth in relay 70",
        "15:45. Panel F. First actual case of a bug being found. The insect is taped to this page.",
    ),
    (
        "Trajectory, second draft",
        "Work backwards: say where it has to come down, and compute from there where and when it "
        "has to go up.",
    ),
    (
        "Priority displays",
        "If the computer has more to do than it has time for, let it drop what matters least, and "
        "say so to the crew.",
    ),
    (
        "A case against one statement",
        "The quality of programmers is a decreasing function of the density of jumps in the "
        "programs they produce.",
    ),
    (
        "Imitation game, rules",
        "Three take part. The interrogator is in a room of their own, and what is said is typed.",
    ),
)
