"""Packages: models and gates, each one folder of the model repository."""
