"""The proxies that the corpus is sent through: ours in three places, a naive one, and peers for comparison."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import ssl
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterator

import sidecar as mesh
from certs import Ca, Pair
from harness import Process, accepts, free_port
from origin import Origin
from wire import Door

# what a proxy adds to each request that it understood as one; the corpus cannot know it
MARK = secrets.token_hex(8)


@dataclass
class Target:
    """One way through one proxy."""

    name: str
    # nobody else's requests arrive there
    origin: Origin
    http1: Door
    http2: Door | None
    # fields that every request must have at the origin, exactly once
    marks: dict[bytes, bytes] = field(default_factory=lambda: {b"x-proxied": MARK.encode()})
    ours: bool = False
    # how long the next client waits for its answer, in seconds
    patience: float = 5.0
    # the beginnings of the cases that it is for; all if there are none
    only: tuple[str, ...] = ()


Started = tuple[list[Target], list[Any]]


def tls(ca: Ca, pair: Pair | None, alpn: str | None) -> ssl.SSLContext:
    """A client of an inbound port. It does not look at names: those are SPIFFE ids."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(ca.file)
    if pair:
        context.load_cert_chain(pair.certificate, pair.key)
    if alpn:
        context.set_alpn_protocols([alpn])
    return context


def ours(binary: Path, folder: Path, origins: Iterator[Origin]) -> Started:
    """The outbound side alone, both sides, and the inbound side alone."""
    ca = Ca(folder)
    ports, running = [free_port() for _ in range(4)], []
    edit = {"request_headers": {"set": {"x-proxied": MARK}}}
    # who asks for another protocol gets a route on which that may be
    asks = {"match": {"headers": {"upgrade": "*"}}}
    switch, marked = mesh.upgrade(**asks), mesh.upgrade(**asks, **edit)
    alone, behind, services = next(origins), {}, {}
    services["outbound"] = mesh.service([marked, mesh.stream(**edit)], ["client"], alone.port, tls="off")
    try:
        # an inbound port takes only requests for the service that was asked for by TLS
        for name in ("pair", "origin"):
            behind[name], inbound = next(origins), free_port()
            served = mesh.service([switch, mesh.stream()], ["client"], inbound)
            given = {"inbound": inbound, "program": behind[name].port}
            running.append(mesh.Sidecar(binary, folder, ca, name, {name: served}, **given))
            services[name] = mesh.service([marked, mesh.unary(5_000, **edit)], ["client"], inbound)
        ways = zip(ports, ("http1", "http2") * 2, ("outbound", "outbound", "pair", "pair"))
        listeners = [mesh.outbound(*way) for way in ways]
        running.append(mesh.Sidecar(binary, folder, ca, "client", services, listeners=listeners))
    except Exception:
        for one in running:
            one.stop()
        raise
    pair = ca.identity("client", file="client-by-hand")
    peer = {b"x-meshbase-peer": b"client"}
    by_hand = [Door(inbound, tls(ca, pair, alpn), mesh.sni("origin")) for alpn in ("http/1.1", "h2")]
    both = {b"x-proxied": MARK.encode(), **peer}
    targets = [
        Target("outbound", alone, Door(ports[0]), Door(ports[1]), ours=True),
        Target("pair", behind["pair"], Door(ports[2]), Door(ports[3]), both, ours=True),
        Target("inbound", behind["origin"], by_hand[0], by_hand[1], peer, ours=True),
    ]
    return targets, running[::-1]


def naive(folder: Path, origins: Iterator[Origin]) -> Started:
    """The proxy that forwards everything."""
    port, origin = free_port(), next(origins)
    script = str(Path(__file__).with_name("naive_proxy.py"))
    process = Process("naive", [sys.executable, script, str(port), str(origin.port), MARK], folder)
    process.await_true(lambda: accepts(port), "its port")
    some = ("ok/", "cl/", "te", "both/", "chunk/", "reply/two/", "reply/head/", "reply/cl/")
    return [Target("naive", origin, Door(port), None, patience=0.5, only=some)], [process]


def envoy(folder: Path, origins: Iterator[Origin]) -> Started:
    """Envoy with its defaults."""
    port, origin = free_port(), next(origins)
    v3 = "type.googleapis.com/envoy.extensions.filters"
    to_origin = {"socket_address": {"address": "127.0.0.1", "port_value": origin.port}}
    header = {"header": {"key": "x-proxied", "value": MARK}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    hosts = [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "origin"}}]}]
    manager = {
        "@type": f"{v3}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "route_config": {"request_headers_to_add": [header], "virtual_hosts": hosts},
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{v3}.http.router.v3.Router"}}],
    }
    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    listen = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": to_origin}}]}]
    cluster = {"name": "origin", "type": "STATIC", "connect_timeout": "1s"}
    cluster["load_assignment"] = {"cluster_name": "origin", "endpoints": endpoints}
    file = folder / "envoy.json"
    resources = {"listeners": [{"address": listen, "filter_chains": [chain]}], "clusters": [cluster]}
    file.write_text(json.dumps({"static_resources": resources}))
    run = [os.environ.get("ENVOY", "envoy"), "-c", str(file), "--concurrency", "1", "--disable-hot-restart"]
    process = Process("envoy", run, folder)
    process.await_true(lambda: accepts(port), "its port")
    return [Target("envoy", origin, Door(port), Door(port))], [process]


NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr crit; events {{ worker_connections 512; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream origin {{ server 127.0.0.1:{origin}; keepalive 16; }}
  server {{
    listen 127.0.0.1:{one}; listen 127.0.0.1:{two} http2;
    location / {{
      proxy_pass http://origin; proxy_http_version 1.1; proxy_request_buffering off; proxy_next_upstream off;
      proxy_set_header Connection ""; proxy_set_header Host $host; proxy_set_header X-Proxied {mark};
    }}
  }}
}}
"""

HAPROXY = """
defaults
  mode http
  timeout client 20s
  timeout server 20s
  timeout connect 2s
  retries 0
frontend in
  bind 127.0.0.1:{one}
  bind 127.0.0.1:{two} proto h2
  http-request set-header X-Proxied {mark}
  default_backend origin
backend origin
  http-reuse always
  server origin 127.0.0.1:{origin}
"""


def nginx(folder: Path, origins: Iterator[Origin]) -> Started:
    """nginx with connections to the origin kept alive."""
    return _by_file("nginx", NGINX, ["-p", str(folder), "-c"], folder, origins)


def haproxy(folder: Path, origins: Iterator[Origin]) -> Started:
    """HAProxy with connections to the origin shared by all clients."""
    return _by_file("haproxy", HAPROXY, ["-db", "-f"], folder, origins)


def _by_file(name: str, text: str, run: list[str], folder: Path, origins: Iterator[Origin]) -> Started:
    program = shutil.which(name) or shutil.which(f"/usr/sbin/{name}")
    if not program:
        raise FileNotFoundError(f"{name} is not installed")
    one, two, origin = free_port(), free_port(), next(origins)
    file = folder / f"{name}.conf"
    file.write_text(text.format(folder=folder, origin=origin.port, one=one, two=two, mark=MARK))
    process = Process(name, [program, *run, str(file)], folder)
    process.await_true(lambda: accepts(one) and accepts(two), "its ports")
    return [Target(name, origin, Door(one), Door(two))], [process]


PEERS = {"envoy": envoy, "nginx": nginx, "haproxy": haproxy}
