"""The figures: what is measured, each a function of a contest."""
