# The image: the server, the C library it is linked to, and the public certificate authorities; no shell, nothing to write to.
# It has no HEALTHCHECK: whoever runs containers asks /livez and /readyz by HTTP, and the image has nothing to ask with.
#
# Without a network: `image/crates` puts all crates into image/vendor, then `docker build --network=none .`
# By digest, or from a mirror: `--build-arg RUST_IMAGE=rust@sha256:…`

ARG RUST_IMAGE=rust:1.95.0-bookworm

FROM ${RUST_IMAGE} AS build
# The moment that files of the image carry, so that the same sources make the same layers.
ARG SOURCE_DATE_EPOCH=0
WORKDIR /build
# The dependencies by themselves: this layer lasts until Cargo.toml or Cargo.lock change.
COPY image/ image/
COPY Cargo.toml Cargo.lock ./
RUN image/build dependencies
COPY src/ src/
RUN image/build server /rootfs

FROM scratch
LABEL org.opencontainers.image.title="switchboard" \
      org.opencontainers.image.description="Call-signaling server for WebRTC apps" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /rootfs/ /
COPY LICENSE /
ENV NODE_ENV=production
# Clients; and metrics, for the inside of a cluster only.
EXPOSE 3000 9464
# By number, so that Kubernetes can see that it is not root.
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/switchboard"]
