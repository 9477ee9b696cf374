"""A command's function as far as its command line needs it: its signature and its docstring.

What a function works with takes its module seconds to import: torch, pandas, Lightning. Its help, and what is wrong
with a line, come of its signature, so this is read from the source; the module is imported once the function is called.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Iterable, Iterator
from functools import cache, wraps
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

from dim.core.lazy import importing

_Function: TypeAlias = Callable[..., Any]
_OURS = ("dim", "benchmarks")  #: The packages whose sources are followed; what others have is imported.


def outline(module: str, name: str) -> _Function | None:
    """A function with the signature and docstring of one that is not imported before it is called.

    Args:
        module: The full name of the module that has it, of its own or of another one.
        name: Its name.

    Returns:
        The function, or None where its signature says too little: an option that takes an object has the classes that
        were imported as its choices, and what `**options` stands for are another function's.

    Example:
        >>> from inspect import signature
        >>> list(signature(outline("dim.cli.configs", "configs_copy")).parameters)
        ['name', 'folder']
    """
    module, name, function = _definition(module, name)
    if not isinstance(function, ast.FunctionDef) or function.args.kwarg is not None:
        return None
    types = [each.annotation for each in _arguments(function) if each.annotation is not None]
    if any(isinstance(_definition(module, each)[2], ast.ClassDef) for each in _names(types)):
        return None
    names = _values(module, [*types, *function.args.defaults, *filter(None, function.args.kw_defaults)])
    bare = ast.FunctionDef(
        name, function.args, function.body[:1], decorator_list=[], lineno=function.lineno, col_offset=0
    )
    names["__name__"] = __name__  # the parser imports the module that a function says it is of
    exec(compile(ast.Module([bare], []), str(source_of(module)), "exec", dont_inherit=True), names)

    @wraps(names[name])
    def called(*args: Any, **options: Any) -> Any:
        with importing():
            function = getattr(import_module(module), name)
        return function(*args, **options)

    return called


def arguments_of(module: str, *path: str) -> dict[str, bool]:
    """A function's arguments, or a method's but for `self`, each with whether it must be given; nothing is imported.

    Args:
        module: The full name of a module that names it, of whatever package.
        path: Its name; a method's after that of its class.

    Returns:
        They; none where the source does not tell, or where `**options` are another function's.

    Example:
        >>> arguments_of("dim.cli.hold_out", "hold_out")
        {'dataset': True, 'out': True, 'share': False, 'seed': False, 'cache_dir': False, 'overwrite': False}
        >>> arguments_of("dim.errors", "DimError", "__init__")
        {'expected': True, 'found': True, 'remedy': True}
    """
    _, _, node = _definition(module, path[0])
    for name in path[1:]:
        methods = node.body if isinstance(node, ast.ClassDef) else ()
        node = next((each for each in methods if isinstance(each, ast.FunctionDef) and each.name == name), None)
    if not isinstance(node, ast.FunctionDef) or node.args.kwarg is not None:
        return {}
    names = [each.arg for each in (*node.args.posonlyargs, *node.args.args)]
    keywords = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
    found = {name: index < len(names) - len(node.args.defaults) for index, name in enumerate(names)}
    found |= {each.arg: default is None for each, default in keywords}
    return {name: found[name] for name in list(found)[len(path) - 1 :]}


def _arguments(function: ast.FunctionDef) -> list[ast.arg]:
    return [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]


def source_of(module: str) -> Path:
    """The file of a module; of its package nothing is imported.

    Example:
        >>> source_of("dim.cli").name, source_of("dim.cli.link").name
        ('__init__.py', 'link.py')
    """
    spec = find_spec(_package(module))
    assert spec is not None
    path = Path(str(spec.origin)).parent.joinpath(*module.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def statements(module: str) -> dict[str, ast.stmt]:
    """What a module's source says of each name at its top level: the last import, definition or assignment of it."""
    found: dict[str, ast.stmt] = {}
    source = source_of(module)
    for statement in ast.parse(source.read_text(encoding="utf-8")).body if source.is_file() else ():
        found |= dict.fromkeys(_named_by(statement), statement)
    return found


def _named_by(statement: ast.stmt) -> Iterator[str]:
    match statement:
        case ast.Import(names) | ast.ImportFrom(names=names):
            yield from (each.asname or each.name.partition(".")[0] for each in names)
        case ast.FunctionDef(name) | ast.ClassDef(name):
            yield name
        case ast.Assign(targets=[ast.Name(name)]) | ast.AnnAssign(target=ast.Name(name), value=ast.expr()):
            yield name


def _definition(module: str, name: str) -> tuple[str, str, ast.stmt | None]:
    """Where a package's own name is defined, as what, and the statement; None where the source's top level has none."""
    statement = statements(module).get(name)
    match statement:
        case ast.ImportFrom(module=str(home)) if _package(home) in _OURS:
            return _definition(home, _name_there(statement, name))
    return module, name, statement


def _name_there(statement: ast.ImportFrom, name: str) -> str:
    return next(each.name for each in statement.names if name == (each.asname or each.name))


def _values(module: str, expressions: Iterable[ast.expr]) -> dict[str, Any]:
    """The values of the names in some expressions of a module."""
    return {name: _value(module, name) for name in _names(expressions)}


def _names(expressions: Iterable[ast.expr]) -> set[str]:
    nodes = (node for each in expressions for node in ast.walk(each) if isinstance(node, ast.Name))
    return {node.id for node in nodes if not hasattr(builtins, node.id)}


def _value(module: str, name: str) -> Any:
    """What a name of a module stands for; its module is imported only for what is neither a constant nor an alias."""
    home, name, statement = _definition(module, name)
    match statement:
        case ast.Assign(value=value) | ast.AnnAssign(value=ast.expr() as value):
            return eval(compile(ast.Expression(value), str(source_of(home)), "eval"), _values(home, [value]))
        case ast.ImportFrom(module=str(library)):
            return getattr(import_module(library), _name_there(statement, name))
    return getattr(import_module(home), name)


def _package(module: str) -> str:
    return module.partition(".")[0]
