"""The pages: pure functions from values to tags, one module for each page."""
