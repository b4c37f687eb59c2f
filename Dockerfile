# render-corpus with everything in it, for one machine, a Ray cluster or Kubernetes.
#
#   docker build -t render-corpus .
#   docker run --gpus all -v "$PWD":/data render-corpus manifest.parquet --out out
#
# PyTorch brings CUDA itself; the base has what it expects of the system. The driver must be 580 or later.
FROM nvidia/cuda:13.0.1-base-ubuntu24.04

RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home render

# Dependencies first: they stay as they are while the code changes.
COPY constraints.txt pyproject.toml README.md LICENSE /opt/render-corpus/
WORKDIR /opt/render-corpus
RUN python3 -m venv /opt/venv \
    && mkdir schemas renderer jobs \
    && /opt/venv/bin/pip install --no-cache-dir --constraint constraints.txt . 'ray[default]'

COPY schemas schemas
COPY renderer renderer
COPY jobs jobs
RUN /opt/venv/bin/pip install --no-cache-dir --no-deps --force-reinstall .

ENV PATH=/opt/venv/bin:$PATH RAY_USAGE_STATS_ENABLED=0
USER render
WORKDIR /data
ENTRYPOINT ["render-corpus"]
