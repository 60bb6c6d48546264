"""Interfaces: by the names that the reference policy gives them, and by their expansion."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from wsgi_sepkg.denials.knowledge import Entry
from wsgi_sepkg.denials.ladder.entries import Entries
from wsgi_sepkg.denials.ladder.fixes import Change, Fix, change_values, rule
from wsgi_sepkg.denials.ladder.refusals import READ, WRITE
from wsgi_sepkg.denials.model import Denial

# (classes, permissions all among these, verbs of interfaces), the narrowest first.
_VERBS: tuple[tuple[frozenset[str], frozenset[str], tuple[str, ...]], ...] = (
    (frozenset({"dir"}), frozenset({"getattr", "search"}), ("search", "list", "read")),
    (frozenset({"dir"}), frozenset({"getattr", "search", "read", "open"}), ("list", "read")),
    (frozenset({"file", "lnk_file"}), frozenset({"getattr"}), ("getattr", "read")),
    (frozenset({"file", "lnk_file", "chr_file"}), READ, ("read", "rw", "use")),
    (
        frozenset({"file"}),
        frozenset({"append", "open", "getattr", "lock"}),
        ("append", "write", "manage"),
    ),
    (frozenset({"file"}), frozenset({"execute", "execute_no_trans"}) | READ, ("exec", "domtrans")),
    (
        frozenset({"file", "chr_file", "fifo_file"}),
        READ | {"write", "append"},
        ("rw", "write", "manage"),
    ),
    (frozenset({"file", "dir", "lnk_file", "sock_file"}), READ | WRITE, ("manage",)),
    (
        frozenset({"unix_stream_socket", "sock_file"}),
        frozenset({"connectto", "write", "getattr"}),
        ("stream_connect",),
    ),
    (
        frozenset({"unix_dgram_socket"}),
        frozenset({"sendto"}),
        ("dgram_send", "dgram_sendto"),
    ),
    (frozenset({"process"}), frozenset({"signal"}), ("signal",)),
    (frozenset({"process"}), frozenset({"signull"}), ("signull",)),
    (frozenset({"process"}), frozenset({"sigchld"}), ("sigchld",)),
    (frozenset({"process"}), frozenset({"sigkill"}), ("kill", "sigkill")),
    (frozenset({"process"}), frozenset({"transition"}), ("domtrans",)),
    (frozenset({"dbus"}), frozenset({"send_msg"}), ("dbus_chat",)),
    (frozenset({"service"}), frozenset({"status", "start", "stop", "reload"}), ("systemctl",)),
    (frozenset({"key"}), frozenset({"read", "view", "search"}), ("read_keys", "search_keys")),
    (frozenset({"fd"}), frozenset({"use"}), ("use_fds",)),
    (frozenset({"tcp_socket", "udp_socket"}), frozenset({"node_bind"}), ("bind",)),
)

_MOST_RELATIVES = 30


class Interfaces(Entries):
    """Finds the interface that grants an access, else the bare rule."""

    def prepare(self, denials: Sequence[Denial]) -> None:
        """Expand at once every interface that the answers to ``denials`` may name."""
        if self.expander is not None:
            self.expander.load(n for denial in denials for n in self.candidates(denial))

    def candidates(self, denial: Denial) -> list[str]:
        """Return the interfaces that may grant what was denied, by name, the narrowest first."""
        words = self._words(denial)
        found = list(interface_names(denial, words))
        for entry in self.matching(denial):
            found += [w.format_map(words) for w in entry.interface if self._fits(w, words)]
        found += self._relatives(denial, words["module"])
        return [name for name in dict.fromkeys(found) if name in self.names.facts.interfaces]

    def _relatives(self, denial: Denial, module: str) -> list[str]:
        """Return interfaces of the target's module whose verb fits: only an expansion can tell."""
        verbs = set(_verbs(denial))
        if self.expander is None or not module or not verbs:
            return []
        start = re.compile(rf"{re.escape(module)}_(?:{'|'.join(map(re.escape, verbs))})(?:_|$)")
        return [
            name
            for name, owner in self.names.facts.interfaces.items()
            if owner == module and start.match(name)
        ][:_MOST_RELATIVES]

    def interface(self, denial: Denial, wanted: Sequence[str]) -> tuple[str, str]:
        """Return the interface of ``wanted`` that grants what was denied, and how that is known.

        With the headers at hand, of all whose expansion covers the denial the one that grants the
        least besides; else the first by its name. ('', '') where there is none.
        """
        names = [n for n in dict.fromkeys(wanted) if n in self.names.facts.interfaces]
        if self.expander is None:
            return (names[0], "by its name, not expanded: no headers here") if names else ("", "")
        real = self.names.real(denial.target.type)
        covering = [
            (found.surplus(denial), index, name)
            for index, name in enumerate(names)
            if (found := self.expander.known.get(name)) is not None
            and (found.covers(denial) or found.covers(denial, real))
        ]
        if not covering:
            return "", ""
        more, _, name = min(covering)
        return name, f"covers it by its expansion, and grants {more} access vectors besides"

    def _from_entry(self, entry: Entry, denial: Denial) -> Fix:
        words = self._words(denial)
        interface = verified = grants = ""
        if entry.interface:
            wanted = [w.format_map(words) for w in entry.interface if self._fits(w, words)]
            if self.expander is not None:
                wanted += self.candidates(denial)
            interface, verified = self.interface(denial, wanted)
            if interface:
                grants = f"{interface}({denial.source.type})"
        cure = entry.cure.format_map(words)
        if entry.kind == "allow" and not grants:
            grants = rule(denial)
        change = None
        if entry.change:
            change = Change(entry.change, change_values(denial, interface=interface))
        return Fix(
            entry.kind,
            entry.place,
            entry.id,
            entry.says.format_map(words),
            cure,
            grants=grants if entry.kind == "allow" else "",
            verified=verified,
            refs=tuple(entry.refs),
            change=change,
            weak=entry.weak,
        )

    @staticmethod
    def _fits(word: str, words: dict[str, str]) -> bool:
        return all(words[name] for name in re.findall(r"\{(\w+)\}", word))

    def _grant(self, denial: Denial) -> Iterator[Fix]:
        """An interface by its name, else the bare rule: what is left when nothing narrower is."""
        if self._never(denial):
            return
        words = self._words(denial)
        named = list(interface_names(denial, words))
        if self.expander is not None:
            named = self.candidates(denial)
        interface, verified = self.interface(denial, named)
        source, target = denial.source.type, denial.target.type
        wanted = " ".join(denial.permissions)
        says = f"{source} may not {wanted} a {denial.tclass} of {target}"
        if denial.target.role != "object_r" and source != target:
            says = f"{source} may not {wanted} {target}, another domain ({denial.tclass})"
        if interface:
            yield Fix(
                "allow",
                "interface",
                "rung:interface",
                says,
                f"{interface}({source}).",
                grants=f"{interface}({source})",
                verified=verified,
                refs=("interfaces of the target",),
                change=Change("call", change_values(denial, interface=interface)),
            )
        yield Fix(
            "allow",
            "rule",
            "rung:rule",
            says,
            "This one rule, with the reason why the program needs it.",
            grants=rule(denial),
            refs=("the record itself",),
            change=Change("rule", change_values(denial)),
        )


def _verbs(denial: Denial) -> Iterator[str]:
    """Yield the verbs of interfaces that may grant an access, the narrowest first."""
    asked = frozenset(denial.permissions)
    for classes, permissions, verbs in _VERBS:
        if denial.tclass in classes and asked <= permissions:
            yield from verbs


def interface_names(denial: Denial, words: dict[str, str]) -> Iterator[str]:
    """Yield the names that an interface for this access would have, the narrowest first.

    Source: how the reference policy names interfaces, MODULE_VERB_NOUN; whether it covers the
    denial is for its expansion to say.
    """
    module, noun = words["module"], words["noun"]
    if not module:
        return
    ends = [noun, f"{noun}s", f"{noun}_files", f"{noun}_dirs", f"{noun}_dir"]
    short = noun.removeprefix("var_")
    ends += [f"{short}_files", short, f"{short}_dirs"]
    if denial.tclass == "node":
        yield f"corenet_{denial.tclass}_bind_generic_node"
    for verb in _verbs(denial):
        for end in ends:
            yield f"{module}_{verb}_{end}"
        yield f"{module}_{verb}"
