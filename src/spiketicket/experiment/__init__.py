"""The story of an experiment: a recipe, its seeds, their stages, and what they come to."""
