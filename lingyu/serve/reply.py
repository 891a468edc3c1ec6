"""What passes between the modes and the HTTP side: a request that has been checked, and the pieces of its reply."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from lingyu.records import Message
from lingyu.retrieve.retrievers import Hit
from lingyu.serve.choosing import Sampling
from lingyu.serve.protocol import FollowUps, Search
from lingyu.serve.text import Kind

if TYPE_CHECKING:
    from lingyu.serve.library import View

AnswerSource = Literal["model", "quotation", "knowledge", "question", "none"]


@dataclass
class Piece:
    """A part of a streamed reply. Sources come first, the other metadata with the last piece, which has `finish`.

    answer_source: whose words the content is: the model's, a quotation of the sources, lines of the knowledge graph, a question
    back, or none where nothing was found. citations: for each sentence of the content that a source supports, that sentence's place in it.
    """

    kind: Kind | Literal["call"] | None = None
    text: str = ""
    call: dict[str, Any] | None = None  # of a tool, with its number in the reply
    logprobs: list[dict[str, Any]] = field(default_factory=list)  # of the tokens of this text, where they were asked for
    sources: list[dict[str, Any]] | None = None
    finish: Literal["stop", "length", "tool_calls"] | None = None
    supported: bool | None = None
    answer_source: AnswerSource | None = None
    citations: list[dict[str, Any]] = field(default_factory=list)
    note: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)  # of one mode alone: the query it searched for, the mode a router chose
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True)
class Plan:
    """A request that can be served.

    conversation: all messages; messages: those that fit the context; prompt: the ids of these, without passages; view: what may be found.
    """

    mode: str
    conversation: list[Message]
    messages: list[Message]
    prompt: list[int]
    sampling: Sampling
    stops: list[str]
    thinks: bool
    chinese: bool
    view: "View"
    calls: bool = False  # whether the reply may call tools
    follow_ups: FollowUps | None = None
    search: Search = field(default_factory=Search)
    adapter: str = ""  # that is laid over the model; "": none

    @property
    def question(self) -> str:
        return self.messages[-1].content


def source_of(hit: Hit, view: "View") -> dict[str, Any]:
    """file: what /v1/files calls the document."""
    chunk, file = hit.chunk, view.files[hit.chunk.source]
    return {
        "title": chunk.title,
        "section": chunk.section,
        "source": chunk.source,
        "place": chunk.place,
        "licence": chunk.licence,
        "text": chunk.text,
        "score": round(hit.score, 4),
        "kind": chunk.kind,
        "file": file.id,
        **({"original": True} if file.original else {}),
        **({"metadata": told} if (told := file.metadata.filled()) else {}),
    }
