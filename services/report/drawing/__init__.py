"""Draws findings: a dark page with the source beside what was found in it, text never on anatomy."""
