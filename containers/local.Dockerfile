# prepare on a local folder, without installing anything.
# From the root of the repository: docker build -f containers/local.Dockerfile -t retinanet-data .
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD/images:/data:ro" -v "$PWD/dataset:/out" retinanet-data \
#       prepare --images '/data/images/*' --annotations '/data/annotations/*.xml' --output /out
FROM python:3.11-slim
COPY . /src
RUN pip install --no-cache-dir --constraint /src/requirements.lock /src && rm -rf /src
ENTRYPOINT ["retinanet-data"]
