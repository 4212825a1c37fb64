# All programs on one machine, with TensorFlow for the CPU, without installing anything but Docker.
# From the root of the repository: docker build -f containers/local.Dockerfile -t retinanet-odm .
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/data" retinanet-odm \
#       retinanet-data prepare --images 'images/*' --annotations 'annotations/*.xml' --output dataset
FROM python:3.13-slim
COPY . /src
RUN pip install --no-cache-dir --constraint /src/requirements.lock '/src[cpu,imagenet]' && rm -rf /src \
    && retinanet-data --help >/dev/null && retinanet-score --help >/dev/null && python -c "import tensorflow"
# --user may name a user whom the image does not know, and who has no home folder in it.
ENV HOME=/tmp
WORKDIR /data
CMD ["retinanet-data", "--help"]
