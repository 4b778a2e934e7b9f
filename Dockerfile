# The images of make images, for those who build with a container engine: the same files, users and entrypoints. One of them:
#
#   docker build --target validator --build-arg VERSION=$(hack/version.sh) .
#
# FILES=prebuilt takes the files that make image-files has written, and needs neither Go nor a base image.
ARG FILES=compiled

FROM --platform=${BUILDPLATFORM} golang:1.26 AS compiled
WORKDIR /src
COPY . .
ARG TARGETARCH VERSION=v0.0.0-unknown REVISION=unknown SOURCE_DATE_EPOCH=0
RUN make image-files PLATFORMS=linux/${TARGETARCH} VERSION=${VERSION} REVISION=${REVISION} SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH} \
    && mv dist/files/${TARGETARCH} /files

FROM scratch AS prebuilt
ARG TARGETARCH
COPY dist/files/${TARGETARCH} /files

FROM ${FILES} AS files

FROM scratch AS base
ARG VERSION=v0.0.0-unknown REVISION=unknown
USER 65532:65532
WORKDIR /
ENV PATH=/
LABEL org.opencontainers.image.source="https://github.com/keyward-dev/keyward" \
      org.opencontainers.image.url="https://github.com/keyward-dev/keyward" \
      org.opencontainers.image.vendor="Keyward" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

FROM base AS manager
COPY --from=files /files/keyward-manager /
LABEL org.opencontainers.image.title="Keyward manager" \
      org.opencontainers.image.description="Creates API keys that are declared in Kubernetes, and keeps validation servers up to date"
ENTRYPOINT ["/keyward-manager"]

FROM base AS validator
COPY --from=files /files/keyward-validator /
LABEL org.opencontainers.image.title="Keyward validation server" \
      org.opencontainers.image.description="Authenticates requests with API keys next to the content"
ENTRYPOINT ["/keyward-validator"]

FROM base AS console
COPY --from=files /files/keyward-console /
LABEL org.opencontainers.image.title="Keyward console" \
      org.opencontainers.image.description="Serves pages to people who manage API keys without a kubeconfig"
ENTRYPOINT ["/keyward-console"]

FROM base AS kubectl-keyward
COPY --from=files /files/kubectl-keyward /
LABEL org.opencontainers.image.title="kubectl keyward" \
      org.opencontainers.image.description="Looks at API keys and their use, rotates, reveals and revokes them, and finds out why one was refused"
ENTRYPOINT ["/kubectl-keyward"]
