# syntax=docker/dockerfile:1
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /toolrun ./cmd/toolrun \
 && mkdir /tools

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /toolrun /toolrun
COPY --from=build --chown=65532:65532 /tools /tools
USER 65532:65532
# Mount the definitions on /tools. On a stop the service drains for up to 30 s,
# while docker kills after 10: docker run --stop-timeout 35 -v DIR:/tools:ro …
# Until the service has authentication it listens on loopback only: share the
# network namespace of the platform's container (a sidecar) to reach it.
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s CMD ["/toolrun", "healthcheck"]
ENTRYPOINT ["/toolrun"]
CMD ["serve", "--tools", "/tools"]
