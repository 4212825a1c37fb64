# score on Dataflow: worker with TensorFlow, and Flex Template launcher.
# From the root of the repository: docker build -f containers/score.Dockerfile -t IMAGE .
# With a GPU: docker build -f containers/score.Dockerfile --build-arg TENSORFLOW='tensorflow[and-cuda]==2.21.0' -t IMAGE .
# The version of Python in the environment that submits jobs: no other one can read its pickled functions.
ARG PYTHON=3.13
# Only its launcher is used, a binary that does not depend on the version of Python.
FROM gcr.io/dataflow-templates-base/python311-template-launcher-base AS launcher

FROM apache/beam_python${PYTHON}_sdk:2.77.0
ARG TENSORFLOW=tensorflow-cpu==2.21.0
COPY --from=launcher /opt/google/dataflow/python_template_launcher /opt/google/dataflow/python_template_launcher
COPY . /src
RUN pip install --no-cache-dir --constraint /src/requirements.lock /src "$TENSORFLOW" && rm -rf /src \
    && retinanet-score --help >/dev/null && python -c "import tensorflow"
COPY containers/score.py /template/score.py
ENV FLEX_TEMPLATE_PYTHON_PY_FILE=/template/score.py
# Dataflow puts the driver's libraries there (install-nvidia-driver); those of CUDA come with the wheels.
ENV LD_LIBRARY_PATH=/usr/local/nvidia/lib64
# The entry point stays Beam's, which starts a worker; Dataflow calls the launcher by its path.
