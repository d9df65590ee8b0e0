"""`isocenter package validate`: whether a package is what its manifest says, and may be promoted."""
