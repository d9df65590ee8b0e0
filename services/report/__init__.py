"""Findings in, result objects out."""
