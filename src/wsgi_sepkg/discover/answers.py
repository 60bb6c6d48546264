"""Who answers the questions of ``init``: options of the command line, then a person, or nobody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from wsgi_sepkg.discover.propose import Question
from wsgi_sepkg.errors import UsageError
from wsgi_sepkg.project.values import shown


class Answers:
    """Answers a question; called with it. ``given`` are KEY=VALUE, which go before a person.

    ``known`` is what a description says already.
    """

    def __init__(
        self, given: Sequence[str], interactive: bool, known: Mapping[str, str] | None = None
    ) -> None:
        self.given: dict[str, str] = {}
        self.interactive = interactive
        self.known = dict(known or {})
        self.asked: dict[str, str | None] = {}
        for item in given:
            key, sign, value = item.partition("=")
            if not sign or not key:
                raise UsageError(
                    f"--answer {shown(item)}: not of the form KEY=VALUE",
                    "e.g. --answer project.license=MIT",
                )
            self.given[key.strip()] = value.strip()

    def __call__(self, question: Question) -> str | None:
        """Return the answer, None when the question stays open. Raises UsageError."""
        if question.key in self.given:
            answer: str | None = self.given[question.key]
            if question.choices and answer not in question.choices and len(question.choices) == 2:
                raise UsageError(
                    f"--answer {question.key}={shown(answer or '')}: no such choice",
                    f"one of {', '.join(question.choices)}",
                )
        elif question.key in self.known:
            answer = self.known[question.key]
        elif question.key in self.asked and question.key.startswith(("project.", "application.")):
            answer = self.asked[question.key]
        elif self.interactive:
            answer = self._prompt(question)
        else:
            answer = question.default
        self.asked[question.key] = answer
        return answer

    def unused(self) -> None:
        """Raise UsageError when an answer was given to a question that was not asked."""
        for key in self.given:
            if key not in self.asked:
                raise UsageError(
                    f"--answer {shown(key)}: nothing asked for this",
                    "questions of this application: " + ", ".join(sorted(self.asked)),
                )

    def _prompt(self, question: Question) -> str | None:
        from rich.console import Console
        from rich.prompt import Prompt
        from rich.text import Text

        console = Console(stderr=True)
        text = Text(question.text)
        if question.place.file:
            text.append(f"  [{question.place}]", style="dim")
        if question.default is None:
            text.append("  (empty: leave it open)", style="dim")
        answer = Prompt.ask(
            text,
            console=console,
            default=question.default if question.default is not None else "",
            choices=list(question.choices) or None if question.default is not None else None,
            show_default=bool(question.default),
        )
        return answer.strip() or (None if question.default is None else question.default)
