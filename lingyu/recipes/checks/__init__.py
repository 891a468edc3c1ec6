"""What must hold after a recipe has run: counts of rows, metrics, paired tests, and what the service does.

A kind of check is a class: its fields are what a recipe writes, `look` says whether it holds and what was found.
"""

from typing import Annotated

from pydantic import Field

from lingyu.recipes.checks.check import Check as Check
from lingyu.recipes.checks.check import Result as Result
from lingyu.recipes.checks.check import Run as Run
from lingyu.recipes.checks.measured import Better, Compared, Confusion, Curve, External, Kept, Metric, Quantized, Ratings, Sizes, Vocabulary
from lingyu.recipes.checks.served import Answer, Cited, Consultation, Context, Prompts, Questions, Rewrite, Rewrites, Second, Upload
from lingyu.recipes.checks.tables import Dropped, Exchanges, File, Planted, Rows, Value
from lingyu.recipes.checks.tried import Script

AnyCheck = Annotated[
    Rows
    | Dropped
    | Exchanges
    | Planted
    | Value
    | File
    | Metric
    | Better
    | Kept
    | Compared
    | Confusion
    | Sizes
    | External
    | Ratings
    | Curve
    | Vocabulary
    | Quantized
    | Answer
    | Consultation
    | Upload
    | Cited
    | Context
    | Prompts
    | Questions
    | Rewrite
    | Rewrites
    | Second
    | Script,
    Field(discriminator="kind"),
]
