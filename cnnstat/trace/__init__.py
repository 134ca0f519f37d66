"""Running a model once and recording what it did. Records, and never counts."""
