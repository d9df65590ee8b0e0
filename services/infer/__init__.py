"""infer: pixels → findings."""
