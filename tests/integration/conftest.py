"""How the tests with the real tools are spread over the workers."""

from pathlib import Path

import pytest

# Their fixtures are cheap, and the packages that they ask for are shared by all workers.
SPREAD = ("test_scriptlets.py", "test_simulate.py")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a module on one worker, so that what its fixtures link is linked once."""
    for item in items:
        if item.path.parent == Path(__file__).parent and item.path.name not in SPREAD:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
