"""The texts of the pages, in English and Russian."""
