"""What hardware does and costs: FLOP formulas, prices, meters, and where parts are mapped."""
