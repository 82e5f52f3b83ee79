# The image of export/compose.yaml, workers.yaml and kubernetes.yaml:
#   docker build -t npid_tf .
# with CUDA's libraries, of which the host needs the driver alone:
#   docker build -t npid_tf --build-arg EXTRAS=serving,gpu .
# Its steps are run by a test, without Docker. Not yet built by Docker itself.
FROM python:3.11-slim
ARG EXTRAS=serving
ENV PYTHONUNBUFFERED=1 NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /src
COPY pyproject.toml setup.py README.md LICENSE ./
COPY npid_tf npid_tf
COPY configs configs
RUN pip install --no-cache-dir ".[${EXTRAS}]"
# The flagfiles name one another by paths from here.
WORKDIR /npid_tf
COPY configs configs
EXPOSE 2222 8500 8501
CMD ["python", "-m", "npid_tf.train", "--help"]
