"""bench.real_base on the tiny model: trainer and likelihoods against plain loops, and wheels that are put together or refused."""

import zipfile

import pytest

from bench import real_base

PAIRS = [("up?", "no"), ("how far?", "a bit more"), ("能飞吗？", "不能，风太大。")]
TEXT = "Land now. 返航，电量低于 30%！"


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # PEFT asks for it by its old name
def test_lora_learns_step_by_step_as_in_a_plain_loop(tiny_model):
    plain, _ = real_base.plain_steps(tiny_model, PAIRS, 3)
    ours, seconds = real_base.lingyu_steps(tiny_model, PAIRS, 3)

    assert len(seconds) == len(ours) == 3
    assert ours == pytest.approx(plain, abs=1e-3)


def test_bits_per_byte_are_those_of_a_plain_loop(tiny_model):
    assert real_base.lingyu_bits(tiny_model, [TEXT, "x"]) == pytest.approx(real_base.plain_bits(tiny_model, [TEXT, "x"]), abs=1e-5)


@pytest.fixture
def wheels(tmp_path, monkeypatch):
    """Wheels of a model whose parts are a, b, c and d."""
    monkeypatch.setattr(real_base, "SHA256", "88d4266fd4e6338d13b845fcf289579d209c897823b9217da3e161936f031589")  # of abcd
    for number in range(5):
        name = f"{real_base.PACKAGE}_part{number}" if number else real_base.PACKAGE
        with zipfile.ZipFile(tmp_path / f"{name}-{real_base.VERSION}-py3-none-any.whl", "w") as wheel:
            if number:
                wheel.writestr(f"{name}/data/{real_base.FILE}.part{number - 1:02}", "abcd"[number - 1])
            else:
                for paper in real_base.PAPERS:
                    wheel.writestr(f"{name}/data/{paper}", paper)
    return tmp_path


def test_the_parts_are_joined_in_their_order_and_the_terms_of_use_come_along(wheels, tmp_path):
    told = real_base.fetched(tmp_path / "to", wheels)

    assert (tmp_path / "to" / real_base.FILE).read_bytes() == b"abcd"
    assert all((tmp_path / "to" / paper).read_text() == paper for paper in real_base.PAPERS)
    assert str(tmp_path / "to" / real_base.FILE) in told
    assert real_base.SHA256 in told


def test_parts_that_are_not_those_of_the_model_are_refused_and_nothing_is_left(wheels, tmp_path):
    with zipfile.ZipFile(tmp_path / f"{real_base.PACKAGE}_part2-{real_base.VERSION}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{real_base.PACKAGE}_part2/data/{real_base.FILE}.part01", "x")

    with pytest.raises(SystemExit, match="another one or damaged"):
        real_base.fetched(tmp_path / "to", wheels)

    assert list((tmp_path / "to").iterdir()) == []
    (tmp_path / f"{real_base.PACKAGE}_part4-{real_base.VERSION}-py3-none-any.whl").unlink()
    with pytest.raises(SystemExit, match=r"no wheel of .*_part4"):
        real_base.fetched(tmp_path / "to", wheels)
