# prepare on Dataflow: Flex Template launcher and worker in one image, so that both have the same versions.
# From the root of the repository: docker build -f containers/prepare.Dockerfile -t IMAGE .
# The version of Python in the environment that submits jobs: no other one can read its pickled functions.
ARG PYTHON=3.13
# Only its launcher is used, a binary that does not depend on the version of Python.
FROM gcr.io/dataflow-templates-base/python311-template-launcher-base AS launcher

FROM apache/beam_python${PYTHON}_sdk:2.77.0
COPY --from=launcher /opt/google/dataflow/python_template_launcher /opt/google/dataflow/python_template_launcher
COPY . /src
RUN pip install --no-cache-dir --constraint /src/requirements.lock /src && rm -rf /src \
    && retinanet-data --help >/dev/null
COPY containers/prepare.py /template/prepare.py
ENV FLEX_TEMPLATE_PYTHON_PY_FILE=/template/prepare.py
# The entry point is Beam's, which starts a worker; Dataflow calls the launcher by its path.
