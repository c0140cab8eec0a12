FROM python:3.12-slim
COPY . /source
RUN pip install --no-cache-dir '/source[server,postgres,s3]' && rm -rf /source \
 && useradd --system --create-home --home-dir /var/lib/chopmark chopmark
USER chopmark
WORKDIR /var/lib/chopmark
VOLUME /var/lib/chopmark
ENV CHOPMARK_URL=/var/lib/chopmark
EXPOSE 8400
HEALTHCHECK CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8400/healthz', timeout=5)"]
ENTRYPOINT ["chopmark"]
CMD ["serve", "--host", "0.0.0.0", "--log", "json"]
