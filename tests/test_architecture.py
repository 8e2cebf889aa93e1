"""The house rules, as tests."""

import ast
import re
import subprocess
from pathlib import Path

import jaxtyping
import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("pipeline", "flows")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
FORBIDDEN_NAMES = {"utils", "common", "helpers", "core", "manager", "misc"}
MAX_FUNCTION_LINES = 65
TESTS = sorted((ROOT / "tests").rglob("*.py"))
ARRAYS = {"NDArray", "ndarray", "Tensor"}
SHAPES = {name for name in dir(jaxtyping) if isinstance(getattr(jaxtyping, name), type)}


def name(path):
    return str(path.relative_to(ROOT))


def tracked_files():
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listing.returncode != 0:
        pytest.skip("not a git checkout: tracked files are unknown")
    return [ROOT / line for line in listing.stdout.splitlines() if (ROOT / line).is_file()]


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_every_module_opens_with_its_charter(path):
    charter = ast.get_docstring(ast.parse(path.read_text()))
    assert (charter and charter.splitlines()[0].endswith((".", ":"))) or len(charter.splitlines()) > 1


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_no_module_is_a_drawer(path):
    assert path.stem not in FORBIDDEN_NAMES


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_functions_stay_readable(path):
    long = [
        f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno - node.lineno + 1 > MAX_FUNCTION_LINES
    ]
    assert long == []


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_nothing_unpickles_evaluates_or_prints(path):
    calls = {
        node.func.id
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    imports = {
        alias.name.split(".")[0]
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert not imports & {"pickle", "dill", "joblib", "marshal", "shelve"}
    assert not {"exec", "__import__", "print"} & calls


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_no_unfinished_work_is_left_behind(path):
    marks = re.findall(r"\b(TODO|FIXME|XXX|HACK)\b|NotImplementedError|except Exception", path.read_text())
    assert marks == []


def test_the_repository_speaks_of_the_project_alone():
    machine = re.compile("/wor" + "k/|/roo" + "t/|/op" + "t/(wheels|pypi)")
    found = [
        f"{path.relative_to(ROOT)}: {match.group(0)}"
        for path in tracked_files()
        if path.suffix in {".py", ".md", ".toml", ".yaml", ".yml", ".sh", ".sbatch", ".txt", ".example", ""}
        for match in machine.finditer(path.read_text(errors="replace"))
    ]
    assert found == []


def test_no_scene_is_committed():
    heavy = [str(path) for path in tracked_files() if path.suffix.lower() in {".tif", ".nc", ".npz", ".hdf"}]
    assert heavy == []


def test_every_lower_bound_has_its_reason_and_its_pin():
    text = (ROOT / "pyproject.toml").read_text()
    block = text.split("dependencies = [")[1].split("\n]")[0]
    lines = [line for line in block.splitlines() if line.strip().startswith('"')]
    assert [line for line in lines if "#" not in line] == []
    pins = (ROOT / "constraints.txt").read_text().lower().replace("_", "-")
    names = [re.match(r'\s*"([A-Za-z0-9_-]+)', line).group(1).lower() for line in lines]
    assert [package for package in names if f"\n{package}==" not in pins] == []


def test_no_test_module_imports_another():
    imports = [
        (path, module)
        for path in TESTS
        for node in ast.walk(ast.parse(path.read_text()))
        for module in imported(node)
    ]
    assert len(imports) > len(TESTS)
    shared = re.compile(r"tests\.(.+\.)?test_\w+")
    assert [f"{name(path)}: {module}" for path, module in imports if shared.match(module)] == []


def imported(node):
    """Names of modules, and of what is imported from them, of an import statement."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def test_public_functions_of_arrays_state_shapes():
    without = [
        f"{name(path)}: {function.name}"
        for path in MODULES
        for tree in [ast.parse(path.read_text())]
        for function in public_functions(tree)
        if (words := annotated_words(function, other_names(tree))) & ARRAYS and not words & SHAPES
    ]
    assert without == []


def public_functions(tree):
    """Functions of a module and methods of its classes whose names have no underscore in front."""
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name[0] != "_"]
    return [
        node
        for owner in (tree, *classes)
        for node in owner.body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    ]


def other_names(tree):
    """What a module calls a type: `Plane = NDArray[np.float32]` gives {"Plane": {"NDArray", ...}}."""
    return {
        node.targets[0].id: words_of(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }


def annotated_words(function, other_names):
    """Every name in the annotations of a function, and what those names stand for."""
    arguments = [argument for argument in ast.walk(function.args) if isinstance(argument, ast.arg)]
    places = [function.returns, *(argument.annotation for argument in arguments)]
    words = set().union(*(words_of(place) for place in places if place is not None))
    return words.union(*(other_names.get(word, set()) for word in words))


def words_of(tree):
    return {
        node.id if isinstance(node, ast.Name) else node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Name | ast.Attribute)
    }
