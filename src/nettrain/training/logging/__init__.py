"""What a run records while it trains: metrics.csv, TensorBoard's events, the summary.

It knows numbers by name and file formats; it may import preparation and storage.
"""
