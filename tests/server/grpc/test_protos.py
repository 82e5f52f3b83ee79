"""Messages about the models, as TensorFlow Serving makes them."""

from npid_tf.server.grpc import protos
from npid_tf.server.models import Models
from tests.support.half_plus import save_half_plus


def test_a_version_that_failed_is_told_with_its_error(tmp_path):
    save_half_plus(tmp_path / "encoder" / "3", 1.0)
    (tmp_path / "encoder" / "4").mkdir()
    models = Models(str(tmp_path))
    assert models.load("encoder", 4) is None
    servable = models.load("encoder", 3)
    models.publish(servable)
    newer, older = protos.status_response(models, "encoder").model_version_status
    assert (newer.version, newer.State.Name(newer.state)) == (4, "END")
    assert "a model exported by npid_tf" in newer.status.error_message
    assert newer.status.error_code != 0
    assert (older.version, older.State.Name(older.state)) == (3, "AVAILABLE")
    assert (older.status.error_code, older.status.error_message) == (0, "")

    spec = protos.model_spec(servable, "sum_up")
    assert (spec.name, spec.version.value) == ("encoder", 3)
    assert spec.signature_name == "sum_up"
    signatures = protos.signature_def_map(servable).signature_def
    assert {"serving_default", "sum_up"} <= set(signatures)
