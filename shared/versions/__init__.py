"""Versions of packages side by side: which of them reads a study, and which of them are loaded."""
