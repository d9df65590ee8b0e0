"""admit: RIS → the order is known."""
