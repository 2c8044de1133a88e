# One image for every role: the command says which.
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md ./
COPY bot bot
COPY engine engine
COPY api api
COPY storage storage
COPY simulator simulator
COPY tempogram tempogram
RUN PIP_CONSTRAINT=constraints.txt pip install --no-cache-dir --prefix /installed .

FROM python:3.12-slim
COPY --from=build /installed /usr/local
RUN useradd --create-home tempogram && mkdir /data && chown tempogram /data
USER tempogram
WORKDIR /home/tempogram
ENV DATA_DIR=/data HOST=0.0.0.0 PORT=8000
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD python -c "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health', timeout=2)"
CMD ["tempogram", "run"]
