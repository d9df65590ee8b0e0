"""Pixels with their geometry: reads frames, shows them as a viewer would, and prepares them for a model."""
