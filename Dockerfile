# syntax=docker/dockerfile:1
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /toolrun ./cmd/toolrun \
 && mkdir /tools /data

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /toolrun /toolrun
COPY --from=build --chown=65532:65532 /tools /tools
COPY --from=build --chown=65532:65532 /data /data
USER 65532:65532
# Mount the definitions on /tools and a volume on /data. On a stop the service drains
# for up to 30 s, while docker kills after 10: docker run --stop-timeout 35 …
# Without authentication it listens on loopback only. To serve others set
# TOOLRUN_ADDR=:8080 and TOOLRUN_AUTH=true, and make a key beside it:
# docker exec CONTAINER /toolrun keys create --data /data --organization ORG …
# A worker has no address: run it with --metrics-addr :9090 and
# --health-cmd '/toolrun healthcheck --addr :9090', or with --no-healthcheck.
EXPOSE 8080
VOLUME /data
HEALTHCHECK --interval=10s --timeout=3s CMD ["/toolrun", "healthcheck"]
ENTRYPOINT ["/toolrun"]
CMD ["serve", "--tools", "/tools", "--data", "/data"]
