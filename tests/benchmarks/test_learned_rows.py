"""The benchmark of the instance classifier's rows, at a tiny size."""

import learned_rows


def test_times_all_rows_and_recent_ones_and_plots_them(capsys, tmp_path):
    # On one device: more can be had only before TensorFlow is first used.
    sizes = ["--num_instances", "501", "--num_recent=64", "--dim=8", "--batch_size=8"]
    plot = f"--plot={tmp_path / 'it.png'}"
    learned_rows.main([*sizes, "--devices=1", "--steps=1", plot])
    lines = [line.split(" | ") for line in capsys.readouterr().out.splitlines()]
    rows = [line for line in lines if line[-1].endswith("GB |")]
    names = [(row[0].strip("| "), row[1]) for row in rows]
    assert names == [("all rows", "501"), ("the last 64", "501")]
    assert all(float(row[3]) > 0 for row in rows)
    assert (tmp_path / "it.png").read_bytes().startswith(b"\x89PNG")
