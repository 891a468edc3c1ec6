"""What language models and people think of answers: scores by a rubric, one answer against another, rankings, agreement."""
