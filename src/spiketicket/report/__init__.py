"""Pictures of data and results; reads what other parts made and computes nothing new."""
