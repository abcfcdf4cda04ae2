# One static binary and the certificate authorities that Graph and the mediator
# are checked against. Needs BuildKit (Docker 23 or later, or buildx).
# A tag, whose version of Go a test compares with go.mod's; a digest would hold back the
# patches of Debian, whose authorities go into the image.
FROM --platform=$BUILDPLATFORM golang:1.26.8-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
# With .git, from which Go stamps the version and the revision.
COPY . .
ARG TARGETOS TARGETARCH
RUN --mount=type=cache,target=/cache \
    GOCACHE=/cache CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -ldflags=-w -o /outlook-monitor ./cmd/outlook-monitor

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /outlook-monitor /outlook-monitor
USER 65532:65532
# Go does not know the container's memory limit: give it GOMEMLIMIT, about 90 %
# of that limit, where the container is run.
EXPOSE 8080
HEALTHCHECK --interval=15s --timeout=5s --start-period=10s --retries=3 CMD ["/outlook-monitor", "health"]
ENTRYPOINT ["/outlook-monitor"]
CMD ["serve"]
