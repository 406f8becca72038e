"""The resumable front door: tus 1.0.0 over the same store, catalog, turns and hand-off as 1C's protocol."""
