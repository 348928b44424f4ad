"""Grades patches by an instance's tests. Start at `evaluate.py`."""
