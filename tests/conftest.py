"""What several tests share."""

import pytest
from serving import content  # noqa: F401  (a fixture)
from tiny import build_tiny_model


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """The folder of an untrained causal model."""
    return build_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="session")
def tiny_reward_model(tmp_path_factory):
    """The folder of an untrained model that gives one score."""
    return build_tiny_model(tmp_path_factory.mktemp("tiny") / "model", "SequenceClassification", num_labels=1)


@pytest.fixture(scope="session")
def prefect_server():
    """A real Prefect API on loopback with a database of its own, for the tests of the flows."""
    from prefect.testing.utilities import prefect_test_harness

    import flows  # noqa: F401  (its settings come before Prefect's import)

    with prefect_test_harness(server_startup_timeout=180):
        yield
