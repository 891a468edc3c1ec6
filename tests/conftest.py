"""What several tests share."""

import signal
import sys

import hypothesis
import pytest
from serving import content  # noqa: F401  (a fixture)
from tiny import build_tiny_model
from training import begun

# A shell that puts the tests into the background has them ignore Ctrl-C, and whatever they start as well; then nothing ends by it.
signal.signal(signal.SIGINT, signal.default_int_handler)
# A busy machine makes any example take long now and then.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """The folder of an untrained causal model."""
    return build_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="session")
def tiny_reward_model(tmp_path_factory):
    """The folder of an untrained model that gives one score."""
    return build_tiny_model(tmp_path_factory.mktemp("tiny") / "model", "SequenceClassification", num_labels=1)


@pytest.fixture(scope="session")
def warm(tmp_path_factory):
    """What LINGYU_WARM says to a stage that is to run in the warm process."""
    hold = "import os, sys; print(os.environ['LINGYU_WARM'], flush=True); sys.stdin.read()"
    with begun(tmp_path_factory.mktemp("warm"), "-m", "lingyu.runtime.warm", sys.executable, "-c", hold) as process:
        yield process.stdout.readline().strip()
        process.communicate(timeout=60)


@pytest.fixture(scope="session")
def prefect_server():
    """A real Prefect API on loopback with a database of its own, for the tests of the flows."""
    from prefect.testing.utilities import prefect_test_harness

    import flows  # noqa: F401  (its settings come before Prefect's import)

    with prefect_test_harness(server_startup_timeout=180):
        yield
