"""The benchmark of transfer at tiny size."""

import pytest

import transfer


@pytest.mark.parametrize(
    ("task", "scores"), [("detection", ["AP", "AP50"]), ("segmentation", ["mIoU"])]
)
def test_prints_a_row_for_each_score(task, scores, capsys):
    for module in ("keras_hub", "pycocotools"):
        pytest.importorskip(module, reason="the extra transfer is not installed")
    sizes = ["--steps=2", "--batch_size=2", "--num_train=4", "--num_eval=2"]
    transfer.main([f"--task={task}", *sizes])
    output = capsys.readouterr().out
    for score in scores:
        assert f"| {task} | 4 | 2 | {score} | 0." in output
