"""Checks result objects as anyone could who has nothing but the files: numbers, geometry, references."""
