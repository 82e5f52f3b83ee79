"""What Prometheus reads."""

from npid_tf.server.metrics import Metrics


def test_each_server_counts_for_itself():
    metrics, other = Metrics(), Metrics()
    metrics.count("/v1/search", 200, 0.25)
    metrics.count("/v1/search", 200, 0.5)
    metrics.batch_rows.observe(3)
    lines = metrics.text().decode().splitlines()
    assert 'npid_requests_total{route="/v1/search",status="200"} 2.0' in lines
    assert 'npid_request_seconds_sum{route="/v1/search"} 0.75' in lines
    assert 'npid_batch_rows_bucket{le="2.0"} 0.0' in lines
    assert 'npid_batch_rows_bucket{le="4.0"} 1.0' in lines
    assert b"/v1/search" not in other.text()
