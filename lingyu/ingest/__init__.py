"""Reading a corpus: files to rows, with the place in the source of each."""
