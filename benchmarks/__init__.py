"""What recording costs its host, and how fast MongoDB gets what was recorded: ``make bench``."""
