# docker build --target cpu --tag bone-age-tf:cpu .      (gpu, serve, mercure and beam likewise)
# Everything but the Beam image has the versions of constraints.txt.

FROM python:3.11-slim AS source
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /source
COPY setup.py pyproject.toml constraints.txt README.md ./
COPY deploy/flink/constraints.txt deploy/flink/
COPY bone_age_tf bone_age_tf
COPY data_prep data_prep

# EXTRAS are extras of setup.py: dicom-output,serve,notebooks
FROM source AS install-cpu
ARG EXTRAS=dicom-output,serve
RUN pip install --no-cache-dir --constraint constraints.txt ".[$EXTRAS]"

FROM source AS install-gpu
ARG EXTRAS=dicom-output,serve
RUN pip install --no-cache-dir --constraint constraints.txt ".[gpu,$EXTRAS]"

FROM source AS install-beam
RUN pip install --no-cache-dir --constraint deploy/flink/constraints.txt ".[beam]"

# With the shipped model, whose terms are not those of the program: saved_models/LICENSE.
FROM source AS install-mercure
COPY saved_models saved_models
RUN pip install --no-cache-dir --constraint constraints.txt ".[dicom-output]" ./saved_models

FROM python:3.11-slim AS base
RUN useradd --create-home --uid 1000 bone-age
ENV PATH="/opt/venv/bin:$PATH" PYTHONUNBUFFERED=1
USER 1000
WORKDIR /data
ENTRYPOINT ["bone-age-tf"]

# The machine has the driver and NVIDIA's container toolkit; CUDA comes with the packages.
FROM base AS gpu
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=install-gpu /opt/venv /opt/venv

FROM base AS beam
COPY --from=install-beam /opt/venv /opt/venv

FROM base AS cpu
COPY --from=install-cpu /opt/venv /opt/venv

FROM cpu AS serve
EXPOSE 8000 8500 8501
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8501/readyz')"]
CMD ["serve", "--host", "0.0.0.0"]

# mercure gives the folders of a task, no network, and a user of its own, who has no home.
FROM base AS mercure
COPY --from=install-mercure /opt/venv /opt/venv
ENV HOME=/tmp
CMD ["mercure"]
