"""What recording costs its host, and how fast MongoDB gets what was recorded: ``make bench``.

Hides how a figure is taken. Promises that every ratio comes with its reference, measured in turn with it in the same
process, and that only a wrong count fails a run: times are told, not judged. ``docs/benchmarks.md`` says how to
read it.
"""
