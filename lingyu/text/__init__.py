"""Text: normalisation, language, word lists, numerals, n-grams."""
