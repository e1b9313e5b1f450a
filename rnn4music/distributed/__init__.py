"""Clusters of machines (Dask)."""
