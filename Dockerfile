# For who has docker and not the tools that `cargo xtask image` installs. The program is built by the same task, so it is the same:
# static, with the kernel half in it. Debian's compilers build both halves; arm64 is cross-built on an amd64 machine.
#
#   docker build --build-arg REVISION="$(git rev-parse HEAD)" -t credential-auditor .
#   docker buildx build --platform linux/amd64,linux/arm64 -t REGISTRY/credential-auditor:VERSION --push .
#
# `cargo xtask image` makes reproducible archives without a daemon, with SBOMs; docker's own digests differ by its version.
#
# Nothing of the base is in the result, which is from scratch. It is named by its release, and not pinned: what it then installs is
# Debian's newest anyway. To build from one that you have looked at: --build-arg BASE=docker.io/library/debian@sha256:...
ARG BASE=docker.io/library/debian:bookworm-slim

FROM --platform=$BUILDPLATFORM ${BASE} AS build
ARG TARGETARCH
RUN apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
    rustc-web cargo-web libstd-rust-web-dev-bpf llvm-22-dev gcc g++ libc6-dev ca-certificates debian-archive-keyring git
WORKDIR /src
COPY . .
RUN cargo xtask image ${TARGETARCH:+--arch $TARGETARCH} --binary /out

FROM scratch
ARG REVISION
LABEL org.opencontainers.image.title="credential-auditor" \
      org.opencontainers.image.description="Tells who touched which workload's AWS credential on an EKS node, whose it was, and whether that was allowed." \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /out/auditor /auditor
ENTRYPOINT ["/auditor"]
