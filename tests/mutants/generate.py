"""Bugs that are generated from the source, one change of one expression or statement each."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.cover import SOURCE

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
}
QUIET = {"debug"}
"""Methods of a logger whose calls are left: nothing depends on them."""
CONFORMANCE = "testing/conformance/"
"""Tests that are part of the package. `tests/conformance/broken.py` holds them, and no bug is put into them."""
KERNEL = {"log", "cursor", "holdings", "overflow", "start", "dedup", "ledger", "options", "batches", "walk", "wakeup"}
GROUPS = {"members", "hands", "grouping", "settling"}
HANDLERS = {"handlers", "crew", "switch", "context", "functions", "middleware"}
TOPICS = {"topic", "topics", "outlet", "subscription", "room", "history", "transaction"}


@dataclass(frozen=True, order=True)
class Mutant:
    """The text of `file` from byte `start` to `end` is replaced by `new`."""

    file: str
    start: int
    end: int
    new: str
    kind: str
    first: int
    """The first line of the statement that is changed."""
    last: int

    @property
    def package(self) -> str:
        return package(self.file)

    def apply(self, text: str) -> str:
        raw = text.encode()
        return (raw[: self.start] + self.new.encode() + raw[self.end :]).decode()

    def old(self, text: str) -> str:
        """What it replaces."""
        return text.encode()[self.start : self.end].decode()

    def describe(self, text: str) -> str:
        old = " ".join(self.old(text).split())
        line = text.encode()[: self.start].count(b"\n") + 1
        return f"{self.file}:{line} {self.kind}: {old[:90]!r} -> {' '.join(self.new.split())[:90]!r}"


def package(file: str) -> str:
    """The part of telex that a file belongs to: its folder, or what the modules of the root are grouped into."""
    head, _, rest = file.partition("/")
    if rest:
        return head
    name = head.removesuffix(".py")
    for part, names in (("log", KERNEL), ("groups", GROUPS), ("handlers", HANDLERS), ("topics", TOPICS)):
        if name in names:
            return part
    return "root"


class Finder(ast.NodeVisitor):
    """All mutants of one file."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.raw = text.encode()
        self.found: list[Mutant] = []
        self._lines = [0]
        for line in self.raw.splitlines(keepends=True):
            self._lines.append(self._lines[-1] + len(line))
        self._statement: ast.stmt | None = None
        self._function = ""

    def add(self, node: ast.expr | ast.stmt, new: str | ast.expr, kind: str) -> None:
        statement = self._statement
        assert statement is not None
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        start = self._lines[node.lineno - 1] + node.col_offset
        end = self._lines[node.end_lineno - 1] + node.end_col_offset
        text = new if isinstance(new, str) else f"({ast.unparse(new)})"
        body = getattr(statement, "body", None)
        last = body[0].lineno - 1 if body else (statement.end_lineno or statement.lineno)
        self.found.append(Mutant(self.file, start, end, text, kind, statement.lineno, max(last, statement.lineno)))

    # -- what is walked

    def visit(self, node: ast.AST) -> None:
        if not isinstance(node, ast.stmt):
            super().visit(node)
            return
        outer, self._statement = self._statement, node
        super().visit(node)
        self._statement = outer

    def generic_visit(self, node: ast.AST) -> None:
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list", "type_params", "bases"):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    self.visit(child)

    def _define(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        if node.name in ("__repr__", "__dir__") or any("overload" in ast.unparse(d) for d in node.decorator_list):
            return
        outer, self._function = self._function, node.name
        self.generic_visit(node)
        self._function = outer

    visit_FunctionDef = _define  # noqa: N815
    visit_AsyncFunctionDef = _define  # noqa: N815

    def visit_Assert(self, node: ast.Assert) -> None:
        pass

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        pass  # a text for people

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if not self._function or ast.unparse(node.value) in ("Literal", "list", "dict", "tuple", "Callable"):
            return
        self.generic_visit(node)

    # -- statements

    def visit_Expr(self, node: ast.Expr) -> None:
        call = node.value.value if isinstance(node.value, ast.Await) else node.value
        if isinstance(call, ast.Call):
            name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
            if name in QUIET or not self._function:
                return
            self.add(node, "pass", "call removed")
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) == "TYPE_CHECKING":
            return
        self._negate(node.test)
        self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        if not isinstance(node.test, ast.Constant):
            self._negate(node.test)
        self.generic_visit(node)

    def _negate(self, test: ast.expr) -> None:
        if not isinstance(test, ast.Compare):  # those are changed by visit_Compare
            self.add(test, ast.UnaryOp(ast.Not(), test), "condition negated")

    def visit_Assign(self, node: ast.Assign) -> None:
        target = node.targets[0]
        if isinstance(target, ast.Attribute | ast.Subscript) and self._function != "__init__" and self._function:
            self.add(node, "pass", "assignment removed")
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.add(node, "pass", "assignment removed")
        self.generic_visit(node)

    def visit_Delete(self, node: ast.Delete) -> None:
        self.add(node, "pass", "del removed")

    def visit_Raise(self, node: ast.Raise) -> None:
        self.add(node, "pass", "raise removed")
        self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> None:
        value = node.value
        if value is not None and not (isinstance(value, ast.Constant) and value.value is None):
            self.add(node, "return None", "None returned")
        self.generic_visit(node)

    def visit_Break(self, node: ast.Break) -> None:
        self.add(node, "continue", "break")

    def visit_Continue(self, node: ast.Continue) -> None:
        self.add(node, "break", "continue")

    # -- expressions

    def visit_Compare(self, node: ast.Compare) -> None:
        if len(node.ops) == 1:
            changed = COMPARISONS[type(node.ops[0])]()
            self.add(node, ast.Compare(node.left, [changed], node.comparators), "comparison")
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        other: ast.boolop = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        self.add(node, ast.BoolOp(other, node.values), "and/or")
        for index in range(len(node.values)):
            rest = [value for place, value in enumerate(node.values) if place != index]
            self.add(node, rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest), "operand removed")
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not):
            self.add(node, node.operand, "not removed")
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        text = any(isinstance(side, ast.JoinedStr) or is_text(side) for side in (node.left, node.right))
        changed = ARITHMETIC.get(type(node.op))
        if changed is not None and not text:
            self.add(node, ast.BinOp(node.left, changed(), node.right), "arithmetic")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self.add(node, str(not node.value), "constant")
        elif isinstance(node.value, int | float):
            self.add(node, repr(node.value + 1), "constant")
            self.add(node, repr(node.value - 1), "constant")

    def visit_Call(self, node: ast.Call) -> None:
        name = ast.unparse(node.func)
        if name in ("min", "max"):
            other = ast.Name("max" if name == "min" else "min")
            self.add(node, ast.Call(other, node.args, node.keywords), "min/max")
        elif len(node.args) >= 2 and not any(isinstance(value, ast.Starred) for value in node.args[:2]):
            first, second = node.args[:2]
            if name not in ("isinstance", "getattr", "cast", "TypeVar") and ast.dump(first) != ast.dump(second):
                swapped = ast.Call(node.func, [second, first, *node.args[2:]], node.keywords)
                self.add(node, swapped, "arguments swapped")
        self.generic_visit(node)


def is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def mutants_of(path: Path) -> list[Mutant]:
    """All mutants of a file. A few are no Python; `compiles` tells."""
    text = path.read_text()
    finder = Finder(path.relative_to(SOURCE).as_posix(), text)
    finder.visit(ast.parse(text))
    return sorted(set(finder.found))


def compiles(text: str) -> bool:
    try:
        compile(text, "<mutant>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    return True


def files() -> Iterator[Path]:
    for path in sorted(SOURCE.rglob("*.py")):
        if not path.relative_to(SOURCE).as_posix().startswith(CONFORMANCE):
            yield path
