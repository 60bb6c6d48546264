"""The helpers beside the tests can be imported (pytest's importlib mode adds no folder itself)."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

# Their fixtures are cheap, and the packages that they ask for are shared by all workers.
SPREAD = ("test_scriptlets.py", "test_simulate.py")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a module on one worker, so that what its fixtures link is linked once."""
    for item in items:
        if item.path.parent == Path(__file__).parent and item.path.name not in SPREAD:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
