# score on Dataflow: worker with TensorFlow, and Flex Template launcher.
# From the root of the repository: docker build -f containers/score.Dockerfile -t IMAGE .
# With a TPU: docker build -f containers/score.Dockerfile --build-arg JAX='jax[tpu]==0.10.2' --build-arg TPU=v5litepod-1 -t IMAGE .
# With a GPU: docker build -f containers/score.Dockerfile --build-arg TENSORFLOW='tensorflow[and-cuda]==2.21.0' -t IMAGE .
# The version of Python in the environment that submits jobs: no other one can read its pickled functions.
ARG PYTHON=3.13
# Only its launcher is used, a binary that does not depend on the version of Python.
FROM gcr.io/dataflow-templates-base/python311-template-launcher-base AS launcher

FROM apache/beam_python${PYTHON}_sdk:2.77.0
ARG TENSORFLOW=tensorflow-cpu==2.21.0
# For --runtime=xla on a TPU: jax with its libtpu, and the kind of the one chip, v5litepod-1 or v6e-1.
ARG JAX=
ARG TPU=
COPY --from=launcher /opt/google/dataflow/python_template_launcher /opt/google/dataflow/python_template_launcher
COPY . /src
RUN pip install --no-cache-dir --constraint /src/requirements.lock /src "$TENSORFLOW" ${JAX:+"$JAX"} && rm -rf /src \
    && retinanet-score --help >/dev/null && python -c "import tensorflow"
COPY containers/score.py /template/score.py
ENV FLEX_TEMPLATE_PYTHON_PY_FILE=/template/score.py
# Dataflow puts the driver's libraries there (install-nvidia-driver); those of CUDA come with the wheels.
ENV LD_LIBRARY_PATH=/usr/local/nvidia/lib64
# Read by libtpu alone: the worker's only chip, without a metadata server that describes it.
ENV TPU_SKIP_MDS_QUERY=1 TPU_ACCELERATOR_TYPE=$TPU TPU_HOST_BOUNDS=1,1,1 TPU_CHIPS_PER_HOST_BOUNDS=1,1,1 \
    TPU_WORKER_ID=0 TPU_WORKER_HOSTNAMES=localhost
# The entry point stays Beam's, which starts a worker; Dataflow calls the launcher by its path.
