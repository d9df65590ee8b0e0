"""The demonstration: a stand-in hospital around the real system."""
