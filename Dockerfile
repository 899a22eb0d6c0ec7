# One image for every role: the binary and what it is linked with, without a shell. It runs as uid 65532 and writes to
# its volumes only.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN SQLX_OFFLINE=true cargo build --release --locked \
 && deploy/image/root target/release/meshbase /image

FROM scratch
COPY --from=build /image /
# said again: some builders give everything that they copy to root
COPY --from=build --chown=65532:65532 /image/run/meshbase /run/meshbase
COPY --from=build --chown=65532:65532 /image/secrets /secrets
COPY --from=build --chown=65532:65532 /image/var/lib/meshbase /var/lib/meshbase
USER 65532:65532
ENTRYPOINT ["/meshbase"]
