"""What is recorded, and when a recording still holds.

``compiled`` records a step once and replays it without Python; ``guards`` and ``state`` say whether what it relied on
still holds, ``structures`` takes its arguments and results apart, ``explain`` prints it. Before a step is replayed its
user's code is understood: ``observer``.
"""
