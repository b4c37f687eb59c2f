"""How renderings become objects of a run: a writer for each layout."""
