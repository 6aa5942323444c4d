# An image around the binary that `cargo xtask build` leaves (docs/operating.md, "Packages"):
#   docker build --tag hubbub .
#   docker run --publish 3000:3000 --volume hubbub:/var/lib/hubbub hubbub
# xtask/src/image.rs follows these steps where there is no engine, and knows no others.
FROM debian:bookworm-slim

# Certificates are for what Hubbub asks of others: --jwks and --webhook.
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --no-create-home --home-dir /var/lib/hubbub --shell /usr/sbin/nologin hubbub \
 && install --directory --owner=hubbub --group=hubbub --mode=0700 /var/lib/hubbub

COPY target/release/hubbub /usr/bin/hubbub

ENV HUBBUB_LISTEN=0.0.0.0:3000 HUBBUB_DATA=/var/lib/hubbub
# As a number, so that it can be seen from outside that this is not root.
USER 10001:10001
VOLUME /var/lib/hubbub
EXPOSE 3000

HEALTHCHECK --interval=10s --timeout=5s CMD bash -c \
  'exec 3<>/dev/tcp/127.0.0.1/${HUBBUB_LISTEN##*:} && printf "GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n" >&3 && head --lines 1 <&3 | grep --quiet " 200 "'

ENTRYPOINT ["/usr/bin/hubbub"]
