"""Shell text cut into simple commands, each with the conditions under which it runs.

Nothing is run. Variables are replaced by all the values that the text gives them, calls of the
text's own functions by the commands of those functions. What cannot be known (a command
substitution, a variable of the environment) stays in the words as it is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product

NOT = "not: "  # a condition that must fail begins so
_NEVER_FAIL = frozenset({":", "true", "echo", "printf", "export", "unset", "local", "cat"})
# Programs that run another, with their options that take a value.
_PREFIXES = {
    "command": "",
    "exec": "a",
    "nohup": "",
    "env": "uCS",
    "sudo": "ugpCDhRrTtU",
    "time": "fo",
    "nice": "n",
    "ionice": "cn",
    "timeout": "ks",
}
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)\+?=(.*)\Z", re.DOTALL)
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_PARAMETER = re.compile(r"\$(?:\{([1-9*@])(?::?-[^}]*)?\}|([1-9*@]))")
_MOST_COMMANDS = 5000  # functions that call each other twice and twice again
_DEEPEST_CALL = 8


@dataclass(frozen=True)
class Command:
    """A simple command: words without their quotes, the conditions it runs under, its input."""

    words: tuple[str, ...]
    line: int
    conditions: tuple[str, ...] = ()
    stdin: str = ""
    silenced: bool = False
    rescued: bool = False  # something follows after "||"
    written: tuple[str, ...] = ()  # the files its output goes to
    piped: bool = False  # another command reads its output

    @property
    def name(self) -> str:
        """The program's name without its folder."""
        return self.words[0].rpartition("/")[2] if self.words else ""

    @property
    def text(self) -> str:
        return " ".join(self.words)


@dataclass(frozen=True)
class Loop:
    """A ``for`` loop over words: the variable, the words, where and when."""

    variable: str
    values: tuple[str, ...]
    line: int
    conditions: tuple[str, ...]


@dataclass
class Function:
    """A function that the script defines; ``condition`` is what a call tests, when it is a test."""

    commands: list[Command] = field(default_factory=list)
    condition: tuple[str, ...] = ()
    may_fail: bool = True


@dataclass
class _Token:
    kind: str  # word, op, redirect
    text: str
    line: int
    quoted: bool = False
    inner: list[str] = field(default_factory=list)  # command substitutions
    target: str = ""  # of a redirection
    body: str = ""  # of a here document


_REDIRECTION = re.compile(r"\d?(?:<<<|<<-?|>>|>\||<>|<|>)(?:&[\d-])?|&>>?")
_OPERATORS = ("&&", "||", ";;", "|&", ";", "|", "&", "(", ")", "\n")


class _Lexer:
    """Cut shell text into words, operators and redirections; any text gives some tokens."""

    def __init__(self, text: str, line: int) -> None:
        self.text = text
        self.at = 0
        self.line = line
        self.tokens: list[_Token] = []
        self.waiting: list[tuple[_Token, bool]] = []  # here documents not read yet

    def run(self) -> list[_Token]:
        while self.at < len(self.text):
            char = self.text[self.at]
            if char in " \t\r":
                self.at += 1
            elif self.text.startswith("\\\n", self.at):
                self.at += 2
                self.line += 1
            elif char == "#":
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            elif match := _REDIRECTION.match(self.text, self.at):
                self._redirect(match.group())
            else:
                operator = next((o for o in _OPERATORS if self.text.startswith(o, self.at)), "")
                if operator:
                    self._operator(operator)
                else:
                    self.tokens.append(self._word())
        return self.tokens

    def _operator(self, operator: str) -> None:
        self.tokens.append(_Token("op", operator, self.line))
        self.at += len(operator)
        if operator == "\n":
            self.line += 1
            for token, strip in self.waiting:
                token.body = self._document(token.target, strip)
            self.waiting.clear()

    def _document(self, end: str, strip: bool) -> str:
        lines: list[str] = []
        while self.at < len(self.text):
            stop = self.text.find("\n", self.at)
            stop = len(self.text) if stop < 0 else stop
            line = self.text[self.at : stop]
            self.at = stop + 1
            self.line += 1
            line = line.lstrip("\t") if strip else line
            if line == end:
                break
            lines.append(line)
        return "\n".join(lines)

    def _redirect(self, found: str) -> None:
        line = self.line
        self.at += len(found)
        token = _Token("redirect", found, line)
        if not re.search(r"&[\d-]\Z", found):
            while self.at < len(self.text) and self.text[self.at] in " \t":
                self.at += 1
            if self.at < len(self.text) and self.text[self.at] not in "\n;|&()":
                word = self._word()
                token.target, token.inner = word.text, word.inner
        if "<<<" in found:
            token.body = token.target
        elif "<<" in found:
            self.waiting.append((token, found.endswith("-")))
        self.tokens.append(token)

    def _word(self) -> _Token:
        token = _Token("word", "", self.line)
        out: list[str] = []
        quote = ""
        start = self.at
        while self.at < len(self.text):
            char = self.text[self.at]
            if quote == "'":
                if char == "'":
                    quote = ""
                else:
                    out.append(char)
                self._next(char)
            elif char == "\\":
                following = self.text[self.at + 1 : self.at + 2]
                if following != "\n":
                    out.append(char + following if quote else following)
                self._next(char)
                self._next(following)
            elif char in "\"'" and (not quote or char == quote):
                quote = "" if quote else char
                token.quoted = True
                self._next(char)
            elif char == "`" or self.text.startswith("$(", self.at):
                inner = self._substitution()
                if not inner.startswith("$((") and not inner.startswith("("):
                    token.inner.append(inner)
                out.append(f"$({inner})")
            elif self.text.startswith("${", self.at):
                end = self.text.find("}", self.at)
                end = len(self.text) if end < 0 else end + 1
                out.append(self.text[self.at : end])
                self.line += self.text.count("\n", self.at, end)
                self.at = end
            elif not quote and char in " \t\r\n;|&()<>":
                break
            else:
                out.append(char)
                self._next(char)
        if self.at == start:  # never stand still
            self._next(self.text[self.at])
        token.text = "".join(out)
        return token

    def _next(self, char: str) -> None:
        self.at += len(char)
        self.line += char == "\n"

    def _substitution(self) -> str:
        """Return the text inside ``$( )`` or back quotes and step over it."""
        if self.text[self.at] == "`":
            end = self.text.find("`", self.at + 1)
            end = len(self.text) if end < 0 else end
            inner, after = self.text[self.at + 1 : end], end + 1
        else:
            depth, end, quote = 1, self.at + 2, ""
            while end < len(self.text) and depth:
                char = self.text[end]
                if quote:
                    quote = "" if char == quote else quote
                elif char in "\"'":
                    quote = char
                else:
                    depth += (char == "(") - (char == ")")
                end += 1
            inner, after = self.text[self.at + 2 : end - 1 if not depth else end], end
        self.line += self.text.count("\n", self.at, after)
        self.at = after
        return inner


@dataclass
class _Frame:
    """A compound command that is open: the lists of its branches, and its conditions."""

    kind: str
    condition: list[str] = field(default_factory=list)  # what holds in this branch
    in_condition: bool = False
    parts: list[str] = field(default_factory=list)  # of its test: commands and operators in turn
    chain: list[str] = field(default_factory=list)  # conditions made by && and ||
    guards: list[str] = field(default_factory=list)  # made by "TEST || exit"
    # The running list as (may fail, the operator before it), and what earlier branches gave.
    items: list[tuple[bool, str]] = field(default_factory=list)
    branches: list[bool] = field(default_factory=list)
    operator: str = ""
    before: list[str] = field(default_factory=list)  # what failed before this branch
    pattern: bool = False  # the next words are a pattern of "case"
    patterns: list[str] = field(default_factory=list)
    branch_conditions: list[str] = field(default_factory=list)  # of "case", so far
    subject: str = ""  # what "case" looks at, or the name of the function that begins
    function: str = ""  # the function whose body this is
    plain: bool = True  # of a function: nothing but a test
    dead: bool = False  # a loop over nothing
    grouped: bool = False  # braces or parentheses that are part of a test
    inverted: bool = False  # "!" stands before them

    def next_pattern(self) -> None:
        """Take the patterns read as the condition of this branch of ``case``."""
        self.pattern = False
        self.condition = []
        if self.patterns and self.patterns != ["*"]:
            condition = f"{self.subject} = {' | '.join(self.patterns)}"
            self.condition = [condition]
            self.branch_conditions.append(condition)
        elif self.patterns:
            self.condition = [negated(c) for c in self.branch_conditions]
        self.patterns = []

    def may_fail(self) -> bool:
        """Tell whether the last list of this branch can end with a status other than 0."""
        fails = False
        for number, (item, joined) in enumerate(self.items):
            if number == 0 or joined == "":
                fails = item
            elif joined == "||":
                fails = fails and item
            else:
                fails = fails or item
        return fails


class Script:
    """A shell scriptlet cut into ``commands`` and ``loops``; ``may_fail`` is its last status.

    ``variables`` are the values that the text gives, ``set_when`` the conditions of each
    assignment of something. A call of one of the ``functions`` is replaced by its commands.
    """

    def __init__(
        self,
        body: str,
        line: int = 1,
        depth: int = 0,
        variables: Mapping[str, list[str]] | None = None,
    ) -> None:
        self.commands: list[Command] = []
        self.loops: list[Loop] = []
        self.variables = {name: list(values) for name, values in (variables or {}).items()}
        self.set_when: dict[str, list[tuple[str, ...]]] = {}
        self.functions: dict[str, Function] = {}
        self._depth = depth
        self._frames = [_Frame("top")]
        self._words: list[_Token] = []
        self._redirects: list[_Token] = []
        self._piped = ""
        self._defining = ""
        self._negated = False
        self._calls = 0
        for token in [*_Lexer(body, line).run(), _Token("op", "\n", line)]:
            self._take(token)
        while len(self._frames) > 1:
            self._close()
        self.may_fail = self._frames[0].may_fail()
        if not depth:
            called = [c for command in self.commands for c in self._called(command, 0)]
            self.commands = [
                replace(c, conditions=self._inlined(c.conditions)) for c in called[:_MOST_COMMANDS]
            ]
            for name, conditions in self.set_when.items():
                self.set_when[name] = [self._inlined(c) for c in conditions]

    def values(self, text: str) -> list[str]:
        """Return what ``text`` can become when its known variables are put in, 50 at most."""
        return self._values(text)

    # -- tokens to commands

    def _take(self, token: _Token) -> None:
        frame = self._frames[-1]
        if frame.kind == "case" and frame.pattern:
            if token.kind == "word" and token.text == "esac":
                self._close()
            elif token.text == ")":
                frame.next_pattern()
            elif token.kind == "word":
                frame.patterns.append(token.text)
            return
        if token.kind == "redirect":
            self._redirects.append(token)
        elif token.kind == "op":
            self._operator(token)
        elif not self._words and not token.quoted and self._keyword(token):
            return
        elif token.text == "{" and [w.text for w in self._words[:-1]] == ["function"]:
            self._defining = self._words.pop().text
            self._words.clear()
            self._push(_Frame("{"))
        else:
            self._words.append(token)

    def _keyword(self, token: _Token) -> bool:
        frame = self._frames[-1]
        word = token.text
        if word in {"if", "while", "until"}:
            self._push(_Frame(word, in_condition=True))
        elif word in {"then", "do"}:
            if frame.in_condition:
                frame.in_condition = False
                wanted = frame.kind != "until"
                frame.condition = _holds(frame.parts) if wanted else _fails(frame.parts)
            frame.items.clear()
            frame.chain.clear()
            frame.operator = ""
        elif word in {"elif", "else"}:
            frame.branches.append(frame.may_fail())
            frame.items.clear()
            frame.chain.clear()
            frame.before += _fails(frame.parts)
            frame.condition = []
            frame.in_condition = word == "elif"
            frame.parts = []
        elif word in {"fi", "done", "esac", "}"}:
            self._close()
        elif word == "{":
            self._push(_Frame("{"))
        elif word == "!":
            self._negated = not self._negated
        else:
            return False
        return True

    def _operator(self, token: _Token) -> None:
        if token.text == "(":
            words = [w.text for w in self._words]
            if len(words) == 1 or (len(words) == 2 and words[0] == "function"):  # name() { ...
                self._words.clear()
                self._frames.append(_Frame("function", subject=words[-1]))
            else:
                self._finish("")
                self._push(_Frame("("))
            return
        self._finish(token.text)
        frame = self._frames[-1]
        if frame.parts and not frame.parts[-1]:  # after a group
            frame.parts[-1] = token.text
        if token.text == ")":
            if frame.kind in {"(", "function"}:
                self._close()
        elif token.text == ";;" and frame.kind == "case":
            frame.branches.append(frame.may_fail())
            frame.items.clear()
            frame.chain.clear()
            frame.pattern = True
        elif token.text in {"&&", "||"}:
            frame.operator = token.text
        elif token.text in {";", "\n", "&", ";;"} and not (
            token.text == "\n" and frame.operator and not self._words
        ):
            frame.operator = ""
            frame.chain.clear()

    def _close(self) -> None:
        self._finish("")
        if len(self._frames) == 1:
            return
        frame = self._frames.pop()
        self._negated = False
        if frame.kind == "function" and not frame.items:
            self._defining = frame.subject
            return
        fails = any([*frame.branches, frame.may_fail()])
        if frame.function:
            function = self.functions[frame.function]
            function.may_fail = fails
            if frame.plain and frame.parts:
                function.condition = tuple(_holds(frame.parts))
            fails = False
        outer = self._frames[-1]
        outer.plain = False
        if frame.grouped and frame.parts:
            self._unlist(outer)
            tests = (_fails if frame.inverted else _holds)(frame.parts)
            if len(tests) != 1:
                tests = [" && ".join(_positive(c) for c in tests)]
            outer.parts += [*tests, ""]
        self._item(fails)

    def _push(self, frame: _Frame) -> None:
        frame.function, self._defining = self._defining, ""
        if frame.function:
            self.functions[frame.function] = Function()
        outer = self._frames[-1]
        frame.grouped = frame.kind in {"{", "("} and (outer.in_condition or outer.grouped)
        frame.inverted = self._negated
        self._negated = False
        self._frames.append(frame)

    def _body(self) -> int:
        """Return the place of the frame that is the function being defined, 0 outside of one."""
        return max((n for n, f in enumerate(self._frames) if f.function), default=0)

    def _emit(self, commands: Iterable[Command]) -> None:
        if any(f.dead for f in self._frames):
            return
        name = self._frames[self._body()].function
        (self.functions[name].commands if name else self.commands).extend(commands)

    def _item(self, fails: bool) -> None:
        frame = self._frames[-1]
        frame.items.append((fails, frame.operator))
        frame.operator = ""

    def _conditions(self) -> tuple[str, ...]:
        found: list[str] = []
        for frame in self._frames[self._body() :]:
            found += frame.before
            if not frame.in_condition:
                found += frame.condition
            found += frame.guards
            found += frame.chain
        return tuple(dict.fromkeys(found))

    def _finish(self, operator: str) -> None:
        """End the simple command that was being read; ``operator`` follows it."""
        tokens, redirects = self._words, self._redirects
        self._words, self._redirects = [], []
        if not tokens and not redirects:
            return
        negative, self._negated, self._defining = self._negated, False, ""
        frame = self._frames[-1]
        line = (tokens or redirects)[0].line
        conditions = self._conditions()
        for token in [*tokens, *redirects]:
            self._substituted(token, conditions)
        if tokens and tokens[0].text in {"for", "select"} and not tokens[0].quoted:
            self._loop(tokens, conditions)
            return
        texts = [t.text for t in tokens]
        if tokens and tokens[0].text == "case" and not tokens[0].quoted:
            inner = _Frame("case", pattern=True, subject=" ".join(texts[1:2]), patterns=texts[3:])
            if operator == ")" and len(texts) > 3:  # case X in PATTERN)
                inner.next_pattern()
            self._push(inner)
            return
        if tokens and tokens[0].text == "function":
            self._defining = next(iter(texts[1:]), "")
            return
        # An assignment keeps its quotes' content, so NAME="a b" is one token as well.
        while tokens and _ASSIGNMENT.match(tokens[0].text):
            self._assign(tokens.pop(0), conditions)
        called = bool(tokens) and tokens[0].text in self.functions
        words = _run(tuple(w for token in tokens for w in self._resolve(token, called)))
        command = Command(
            words=words,
            line=line,
            conditions=conditions,
            stdin="\n".join(r.body for r in redirects if r.body) or self._piped,
            silenced=_silences_errors(redirects),
            rescued=operator == "||",
            written=tuple(
                " ".join(self._values(r.target)) for r in redirects if ">" in r.text and r.target
            ),
            piped=operator in {"|", "|&"},
        )
        self._piped = _printed(command) if command.piped else ""
        if words or redirects:
            self._emit([command])
        text = (NOT if negative else "") + " ".join(t.text for t in tokens)
        if frame.in_condition or frame.function or frame.grouped:
            self._unlist(frame)
            frame.plain = frame.plain and bool(tokens)
            frame.parts += [text, operator]
        if not command.piped:
            self._item(bool(words) and self._can_fail(command))
        if frame.in_condition:
            return
        if command.name in {"exit", "return"} and len(frame.chain) == 1:
            frame.guards.append(negated(frame.chain[0]))
        if operator == "&&":
            frame.chain.append(text)
        elif operator == "||":
            frame.chain[:] = _fails([p for c in [*frame.chain, text] for p in (c, "&&")])

    def _unlist(self, frame: _Frame) -> None:
        """Forget the commands before the last list: only that one counts."""
        if frame.parts and frame.parts[-1] in {";", "\n", "&"}:
            frame.parts.clear()
            frame.plain = False

    def _can_fail(self, command: Command) -> bool:
        function = self.functions.get(command.words[0])
        return function.may_fail if function else _may_fail(command)

    def _substituted(self, token: _Token, conditions: tuple[str, ...]) -> None:
        if self._depth > 5:
            return
        for text in token.inner:
            script = Script(text, token.line, self._depth + 1, self.variables)
            self._emit(
                replace(c, conditions=_joined(conditions, c.conditions), piped=True)
                for c in script.commands
            )

    def _loop(self, tokens: list[_Token], conditions: tuple[str, ...]) -> None:
        texts = [t.text for t in tokens]
        self._push(_Frame("for", dead=texts[2:] == ["in"]))
        if len(texts) > 2 and texts[2] == "in":
            values = [v for t in tokens[3:] for v in self._resolve(t)]
            self.variables[texts[1]] = values[:50]
            self.loops.append(Loop(texts[1], tuple(values), tokens[0].line, conditions))

    # -- functions

    def _called(self, command: Command, depth: int) -> Iterator[Command]:
        """Yield ``command``, or the commands of the function that it calls."""
        function = self.functions.get(command.words[0]) if command.words else None
        if function is None:
            yield command
            return
        if depth == _DEEPEST_CALL or self._calls > _MOST_COMMANDS:
            return
        arguments = command.words[1:]
        for inner in function.commands:
            self._calls += 1
            words: list[str] = []
            for word in inner.words:
                if word in {"$@", "$*"}:
                    words += [v for argument in arguments for v in self._values(argument)]
                else:
                    words += self._values(_put_in(word, arguments))
            yield from self._called(
                replace(
                    inner,
                    words=tuple(words),
                    line=command.line,
                    conditions=_joined(
                        command.conditions, (_put_in(c, arguments) for c in inner.conditions)
                    ),
                    stdin=inner.stdin or command.stdin,
                    silenced=inner.silenced or command.silenced,
                    rescued=inner.rescued or command.rescued,
                    written=inner.written or command.written,
                    piped=inner.piped or command.piped,
                ),
                depth + 1,
            )

    def _inlined(self, conditions: Iterable[str]) -> tuple[str, ...]:
        """Replace calls of functions that are nothing but a test by that test."""
        out: list[str] = []
        for condition in conditions:
            choices = alternatives(condition.removeprefix(NOT))
            if len(choices) > 1:
                told = [self._inlined([c]) for c in choices]
                short = [t[0] if len(t) == 1 else c for t, c in zip(told, choices, strict=True)]
                no = NOT if condition.startswith(NOT) else ""
                out.append(no + " || ".join(_positive(c) for c in short))
                continue
            call = split_words(condition.removeprefix(NOT))
            function = self.functions.get(call[0]) if call else None
            if function is None or not function.condition:
                out.append(condition)
                continue
            tests = [_put_in(c, tuple(call[1:])) for c in function.condition]
            if condition.startswith(NOT):
                tests = _fails([p for test in tests for p in (test, "&&")])
            out += tests
        return tuple(dict.fromkeys(out))

    # -- variables

    def _assign(self, token: _Token, conditions: tuple[str, ...]) -> None:
        match = _ASSIGNMENT.match(token.text)
        if match is None or any(f.dead for f in self._frames):
            return
        name, text = match.groups()
        kept = self.variables.get(name)
        if kept is not None and not any(kept):  # the first of a list that grows
            text = re.sub(rf"\$(?:\{{{name}\}}|{name}\b)", "", text)
        kept = self.variables.setdefault(name, [])
        for value in self._values(text):
            if value not in kept and len(kept) < 50:
                kept.append(value)
        if text:
            inside = self._frames[self._body()].function
            self.set_when.setdefault(name, []).append(() if inside else conditions)

    def _values(self, text: str) -> list[str]:
        names = [a or b for a, b in _VARIABLE.findall(text)]
        known = [n for n in dict.fromkeys(names) if any(self.variables.get(n, []))]
        if not known or len(known) > 3:
            return [text]
        out: list[str] = []
        most = 50 if len(known) == 1 else 10
        choices = [[v for v in self.variables[n] if v][:most] for n in known]
        for combination in product(*choices):
            chosen = dict(zip(known, combination, strict=True))

            def put(match: re.Match[str], chosen: dict[str, str] = chosen) -> str:
                return chosen.get(match.group(1) or match.group(2), match.group())

            out.append(_VARIABLE.sub(put, text)[:4096])
            if len(out) == 50:
                break
        return list(dict.fromkeys(out))

    def _resolve(self, token: _Token, called: bool = False) -> list[str]:
        values = self._values(token.text)
        if token.quoted and called and len(values) > 1:
            return [token.text]  # one argument of a function: put in where it is used
        if values == [token.text] or token.quoted:
            return values
        return [part for value in values for part in split_words(value)]


def split_words(text: str) -> list[str]:
    """Split at white space, but not inside of a command substitution."""
    words: list[str] = []
    depth, start = 0, True
    for place, char in enumerate(text):
        if char.isspace() and not depth:
            start = True
            continue
        if start:
            words.append("")
            start = False
        words[-1] += char
        if char == "(" and (depth or text[place - 1 : place] == "$"):
            depth += 1
        elif char == ")" and depth:
            depth -= 1
    return words


def negated(condition: str) -> str:
    """Return the condition that holds when ``condition`` does not."""
    return condition.removeprefix(NOT) if condition.startswith(NOT) else NOT + condition


def _positive(condition: str) -> str:
    return f"! {condition.removeprefix(NOT)}" if condition.startswith(NOT) else condition


def alternatives(condition: str) -> list[str]:
    """Return the conditions of which one is enough, ``condition`` alone when it has no parts."""
    if " && " in condition or " || " not in condition:
        return [condition]
    return [re.sub(r"\A! ", NOT, c) for c in condition.split(" || ")]


def _lists(parts: list[str]) -> tuple[list[str], set[str]]:
    """Join pipelines; return the commands of a list and the operators between them."""
    commands: list[str] = []
    operators: set[str] = set()
    before = ""
    for text, operator in zip(parts[::2], parts[1::2], strict=True):
        if before in {"|", "|&"} and commands:
            commands[-1] += f" | {text}"
        else:
            operators |= {before} & {"&&", "||"}
            commands.append(text)
        before = operator
    return [c for c in commands if c], operators


def _composite(parts: list[str]) -> str:
    out = []
    for place, part in enumerate(parts):
        if place % 2 == 0:
            out.append(_positive(part))
        elif place < len(parts) - 1:
            out.append(part)
    return " ".join(out).strip()


def _holds(parts: list[str]) -> list[str]:
    """Return the conditions that hold when the list of commands ``parts`` succeeds."""
    commands, operators = _lists(parts)
    return [_composite(parts)] if "||" in operators else commands


def _fails(parts: list[str]) -> list[str]:
    """Return the conditions that hold when the list of commands ``parts`` fails."""
    commands, operators = _lists(parts)
    if len(commands) > 1 and "&&" in operators:
        return [NOT + _composite(parts)]
    return [negated(c) for c in commands]


def _joined(first: Iterable[str], second: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*first, *second]))


def _put_in(text: str, arguments: tuple[str, ...]) -> str:
    """Replace the parameters of a function in ``text`` by the arguments of a call."""

    def put(match: re.Match[str]) -> str:
        key = match.group(1) or match.group(2)
        if key in "*@":
            return " ".join(arguments)
        return arguments[int(key) - 1] if int(key) <= len(arguments) else ""

    return _PARAMETER.sub(put, text)[:4096]


def _run(words: tuple[str, ...]) -> tuple[str, ...]:
    """Take away the programs that only run another: ``nice -n 5 x`` runs ``x``."""
    rest = words
    while len(rest) > 1 and rest[0] in _PREFIXES:
        program, rest = rest[0], rest[1:]
        if program == "command" and rest[0] in {"-v", "-V"}:
            return (program, *rest)  # a question
        while rest and len(rest[0]) > 1 and rest[0].startswith("-"):
            option, rest = rest[0], rest[1:]
            if len(option) == 2 and option[1] in _PREFIXES[program]:
                rest = rest[1:]
        while program == "env" and rest and _ASSIGNMENT.match(rest[0]):
            rest = rest[1:]
        if program == "timeout":
            rest = rest[1:]
    return rest or words


def _silences_errors(redirects: Iterable[_Token]) -> bool:
    thrown = False
    out_thrown = False
    for redirect in redirects:
        to_null = redirect.target == "/dev/null"
        if redirect.text.startswith("&>") and to_null:
            return True
        if redirect.text.startswith("2>"):
            thrown = to_null or (out_thrown and redirect.text.endswith("&1"))
        elif redirect.text.startswith((">", "1>")) and to_null:
            out_thrown = True
    return thrown


def _printed(command: Command) -> str:
    """Return what an ``echo`` or ``printf`` with literal text writes, for the next command."""
    if command.name in {"echo", "printf"}:
        text = " ".join(w for w in command.words[1:] if w not in {"-e", "-n", "-en", "-ne"})
        return text.replace("\\\\n", "\n").replace("\\n", "\n")
    return command.stdin if command.name == "cat" else ""


def _may_fail(command: Command) -> bool:
    name = command.name
    if name in _NEVER_FAIL:
        return False
    if name in {"exit", "return"}:
        return command.words[1:2] not in ((), ("0",))
    if name == "rm":
        return not any(w.startswith("-") and "f" in w for w in command.words)
    return True
