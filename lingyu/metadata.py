"""What is known of a document beside its text: what it is, whose, from when to when, and who may see it.

A file's sidecar `NAME.meta.yaml` says it, an entry of ingest.sources for all files that match, or an upload to the service.
"""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from lingyu.errors import StageError

SIDECAR = ".meta.yaml"
Text = Annotated[str, Field(max_length=200)]


def listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def none_if_empty(value: Any) -> Any:
    return None if value == "" else value


Day = Annotated[date | None, BeforeValidator(none_if_empty)]


class Metadata(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Text = Field("", description="What the document is: rule, form, minutes …; requests can filter by it.")
    department: Text = Field("", description="Whose it is; requests can filter by it.")
    valid_from: Day = Field(None, description="Day from which it holds.")
    valid_to: Day = Field(None, description="Last day on which it holds.")
    groups: Annotated[tuple[Text, ...], BeforeValidator(listed), Field(max_length=50)] = Field(
        (), description="Groups of keys that may see it in the service; empty: everybody. docs/serve.md says how keys get groups."
    )

    @model_validator(mode="after")
    def in_order(self) -> Self:
        if self.valid_from and self.valid_to and self.valid_to < self.valid_from:
            raise ValueError(f"valid_to {self.valid_to} is before valid_from {self.valid_from}")
        return self

    def filled(self) -> dict[str, Any]:
        """What is set, as JSON."""
        return {name: value for name, value in self.model_dump(mode="json").items() if value}

    def seen_by(self, groups: frozenset[str] | None) -> bool:
        """groups: of a reader; None: one who sees all."""
        return groups is None or not self.groups or not groups.isdisjoint(self.groups)


class Filter(BaseModel):
    """Which documents a request is answered from. A document without a date holds always."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Annotated[tuple[Text, ...], BeforeValidator(listed), Field(max_length=50)] = ()
    department: Annotated[tuple[Text, ...], BeforeValidator(listed), Field(max_length=50)] = ()
    in_force_on: Day = None
    files: Annotated[tuple[Text, ...], BeforeValidator(listed), Field(max_length=200)] = ()

    def passes(self, metadata: Metadata, file: str) -> bool:
        """file: the id of the document in /v1/files."""
        day = self.in_force_on
        return (
            (not self.kind or metadata.kind in self.kind)
            and (not self.department or metadata.department in self.department)
            and (not self.files or file in self.files)
            and (day is None or ((metadata.valid_from or day) <= day <= (metadata.valid_to or day)))
        )


def faults_of(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, fault['loc'])) or 'metadata'}: {fault['msg']}" for fault in error.errors())


def beside(path: Path) -> dict[str, Any]:
    """What the sidecar of a file says. Raises StageError: a slip in it must not show a document to everybody."""
    import yaml

    sidecar = path.with_name(path.name + SIDECAR)
    if not sidecar.is_file():
        return {}
    try:
        said = yaml.safe_load(sidecar.read_text(encoding="utf-8")) or {}
        return Metadata.model_validate(said).model_dump(exclude_unset=True)
    except ValidationError as error:
        raise StageError(f"{sidecar}: {faults_of(error)}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise StageError(f"{sidecar} is no YAML: {error}") from None


def names(found: Sequence[Metadata], field: str) -> list[str]:
    return sorted({str(getattr(one, field)) for one in found} - {""})
