"""The path of a study, in order: admit, collect, decide, gate, infer, report, send, status."""
