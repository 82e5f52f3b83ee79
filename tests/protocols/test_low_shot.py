"""The low-shot protocol on images whose colour is their class."""

from npid_tf.protocols.low_shot import LowShotFlags, evaluate_low_shot, published


def test_colors_are_told_apart_and_the_table_says_how_costs_were_chosen(
    color_config, learn_colors
):
    flags = LowShotFlags(**learn_colors, shots=(1, 8), lowshot_cost="test")
    rows = evaluate_low_shot(color_config, flags)
    assert [(row["layer"], row["k"], row["mean"]) for row in rows] == [
        ("features", 1, 1.0),
        ("features", 8, 1.0),
    ]
    assert all("test images" in row["cost by"] for row in rows)


def test_the_page_has_the_means_of_the_layer_that_is_best_over_all_k():
    means = {("conv1", 1): 0.3, ("conv1", 2): 0.4, ("conv5", 1): 0.2, ("conv5", 2): 0.6}
    rows = [
        {"layer": layer, "k": k, "mean": mean, "cost by": "cross-validation"}
        for (layer, k), mean in means.items()
    ]
    assert published(rows) == [
        {"Best Layer": "conv5", "k=1": "20.00", "k=2": "60.00",
         "cost by": "cross-validation"}
    ]  # fmt: skip
