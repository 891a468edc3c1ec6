"""Quality rules, personal data, duplicates: what stays of the rows and what goes, with a reason."""
