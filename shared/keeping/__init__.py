"""What Isocenter keeps and for how long: the rules, what they remove, and how that is written down."""
