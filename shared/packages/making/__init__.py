"""`isocenter package new` and `import`: a package folder to complete, empty or around a network that exists."""
