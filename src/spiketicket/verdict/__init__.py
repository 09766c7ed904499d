"""What counts as winning: rules, rungs of a ladder, and the intervals behind them."""
