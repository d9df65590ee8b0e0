"""decide: study and order → which packages run, at what priority."""
