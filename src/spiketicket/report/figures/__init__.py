"""One file a figure: each draws SVG of phone width by hand, and gives its data."""
