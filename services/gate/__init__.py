"""gate: is this study fit to be read?"""
