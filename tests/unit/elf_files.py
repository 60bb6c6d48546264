"""ELF files, made for tests."""

from __future__ import annotations

import struct

DYNAMIC, INTERP, STACK = 2, 3, 0x6474E551


def elf(
    tags: tuple[tuple[int, int], ...] = (),
    stack: int | None = 6,
    *,
    wide: bool = True,
    order: str = "<",
    kind: int = 3,
    interp: bool = False,
) -> bytes:
    """Return an ELF file with a dynamic segment of ``tags`` and a stack of these flags, or none."""
    head, size = (64, 56) if wide else (52, 32)
    dynamic = b"".join(
        struct.pack(f"{order}{'qQ' if wide else 'iI'}", *tag) for tag in (*tags, (0, 0))
    )
    wanted = [(DYNAMIC, 6)] + ([(STACK, stack)] if stack is not None else [])
    wanted += [(INTERP, 4)] if interp else []
    offset = head + size * len(wanted)
    segments = b""
    for type_, flags in wanted:
        at, length = (offset, len(dynamic)) if type_ == DYNAMIC else (0, 0)
        fields = (
            (type_, flags, at, 0, 0, length, length, 8)
            if wide
            else (type_, at, 0, 0, length, length, flags, 4)
        )
        segments += struct.pack(f"{order}{'IIQQQQQQ' if wide else 'IIIIIIII'}", *fields)
    word = "Q" if wide else "I"
    ident = b"\x7fELF" + bytes((2 if wide else 1, 1 if order == "<" else 2, 1)) + bytes(9)
    count = len(wanted)
    rest = struct.pack(
        f"{order}HHI{word * 3}IHHHHHH", kind, 62, 1, 0, head, 0, 0, head, size, count, 0, 0, 0
    )
    return ident + rest + segments + dynamic
