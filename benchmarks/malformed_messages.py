"""Malformed gRPC messages of many kinds, each drawn by a random.Random."""

from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2
from tensorflow_serving.apis import predict_pb2

from malformed import bad_image

SERVING = "/tensorflow.serving."
METHODS = [
    f"{SERVING}PredictionService/Predict",
    f"{SERVING}PredictionService/GetModelMetadata",
    f"{SERVING}ModelService/GetModelStatus",
]
OTHERS = [f"{SERVING}PredictionService/Classify", "/no.such.Service/Method", "/x/"]
NUMBERS = ("int_val", "float_val", "double_val", "int64_val", "scomplex_val")


def bad_tensor(draw):
    """A TensorProto that is no images."""
    sizes = [0, 1, 2, 3, 8, 65, 10**6, 2**40, 2**62, -1]
    dims = draw.choices(sizes, k=draw.choice([0, 1, 2, 4, 5, 300]))
    shape = tensor_shape_pb2.TensorShapeProto(dim=[{"size": size} for size in dims])
    shape.unknown_rank = draw.random() < 0.1
    tensor = tensor_pb2.TensorProto(
        dtype=draw.choice([*range(24), 99, 101, 123456, -1]), tensor_shape=shape
    )
    for name in draw.sample(NUMBERS, k=draw.randrange(3)):
        getattr(tensor, name).extend([draw.randrange(300)] * draw.randrange(9))
    if draw.random() < 0.3:
        tensor.tensor_content = draw.randbytes(draw.randrange(200))
    if draw.random() < 0.3:
        tensor.string_val.extend(bad_image(draw) for _ in range(draw.randrange(3)))
    if draw.random() < 0.1:
        tensor.variant_val.add(tensors=[tensor_pb2.TensorProto(tensor_shape=shape)])
    return tensor


def bad_request(draw):
    """A PredictRequest that asks for nothing sensible."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = draw.choice(["encoder", "neighbors", "", "../x", "\0"])
    signatures = ["", "serving_default", "serving_bytes", "no", "x" * 300]
    request.model_spec.signature_name = draw.choice(signatures)
    if draw.random() < 0.1:
        request.model_spec.version.value = draw.choice([-1, 0, 1, 2**62])
    if draw.random() < 0.1:
        request.model_spec.version_label = "stable"
    names = ["images", "image_bytes", "x", "\0", ""]
    for name in draw.sample(names, k=draw.choice([0, 1, 1, 1, 2])):
        request.inputs[name].CopyFrom(bad_tensor(draw))
    if draw.random() < 0.1:
        request.output_filter.append(draw.choice(["no", "embeddings", ""]))
    return request.SerializeToString()


def bad_message(draw):
    """(method, bytes) of a call that gets no answer but an error."""
    if draw.random() < 0.6:
        return METHODS[0], bad_request(draw)
    data = bad_request(draw)
    position = draw.randrange(len(data) + 1)
    damaged = draw.choice(
        [
            data[:position] + draw.randbytes(3) + data[position:],
            data[:position] + b"\xff" * draw.randint(1, 20),
            draw.randbytes(draw.randrange(300)),
            b"\x12\x00" * draw.randrange(2000),
            b"\x0b" * draw.randrange(300),
            b"",
        ]
    )
    return draw.choice(METHODS[:2] * 4 + OTHERS), damaged
