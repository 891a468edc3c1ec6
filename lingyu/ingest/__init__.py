"""Reading a corpus: files to rows, each with its location in the source."""
