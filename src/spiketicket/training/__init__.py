"""One training: the loop, its checkpoint, and the measure of accuracy it is judged by."""
