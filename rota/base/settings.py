"""Settings: one record a setting, from which the environment variables, the flags and the reference page all follow.

Promises: a flag beats its ``ROTA_*`` variable, which beats the default; a value that does not fit is refused with the
name, what was given and what would fit. Reads the environment and nothing else.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from rota.base.errors import Unusable

SECRETS = frozenset({"bootstrap_api_key", "model_api_key", "s3_access_key_id", "s3_secret_access_key", "seal_key"})
"""Settings that come from the environment only."""

ROLES = ("api", "scheduler", "courier", "worker")
"""The duties that one server can be limited to with ``--only``."""


def _default_data_dir() -> str:
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return str(Path(base) / "rota")


class Settings(Struct, kw_only=True, frozen=True):
    """All settings of a server. Each field's variable is ``ROTA_`` and its name in capitals."""

    host: Annotated[str, Meta(description="Address to listen on. A public one is refused until a key exists.")] = (
        "127.0.0.1"
    )
    port: Annotated[int, Meta(ge=0, le=65535, description="Port to listen on; 0 picks a free one.")] = 8700
    database: Annotated[
        str | None,
        Meta(description="`sqlite:///path` or `postgresql://…`. Default: the file `rota.db` in the data directory."),
    ] = None
    data_dir: Annotated[
        str,
        Meta(description="Folder for the embedded database, the sealing key and the bytes of files."),
    ] = msgspec.field(default_factory=_default_data_dir)
    only: Annotated[
        str | None,
        Meta(description=f"Comma-separated duties of this server, of: {', '.join(ROLES)}. Default: all of them."),
    ] = None
    bootstrap_api_key: (
        Annotated[
            str,
            Meta(
                min_length=16,
                description="The API key to make on the first start, instead of a random one (containers, CI). At least 16 characters.",
            ),
        ]
        | None
    ) = None
    seal_key: Annotated[
        str | None,
        Meta(
            description="Key that seals secrets at rest: 32 bytes in base64url; several, separated by spaces, when rotating "
            "(the first seals). Default: the key file."
        ),
    ] = None
    seal_key_file: Annotated[
        str | None,
        Meta(description="File with the sealing key. Default: `seal.key` in the data directory, made with mode 0600."),
    ] = None
    blobs: Annotated[
        str | None,
        Meta(
            description="Where the bytes of files are: `file:///path` or `s3://bucket/prefix`. Default: the folder `blobs` in "
            "the data directory. Several servers on one database need one place that all of them reach."
        ),
    ] = None
    s3_endpoint: Annotated[str | None, Meta(description="URL of an S3 service other than Amazon's.")] = None
    s3_region: Annotated[str | None, Meta(description="Region of the bucket, where the service asks for one.")] = None
    s3_access_key_id: Annotated[
        str | None,
        Meta(
            description="Key id for S3. Default: what Amazon's own tools would use (`AWS_*` variables, a profile, a role)."
        ),
    ] = None
    s3_secret_access_key: Annotated[str | None, Meta(description="The secret that goes with the key id for S3.")] = None
    sqlite_synchronous: Annotated[
        Literal["FULL", "NORMAL"],
        Meta(
            description="FULL: an answered write survives a power cut. NORMAL: it survives a crash of the process, "
            "but a power cut may take the last moments."
        ),
    ] = "FULL"
    postgres_connections: Annotated[
        int, Meta(ge=1, le=100, description="PostgreSQL connections for writes, and as many for reads.")
    ] = 4
    rate_limit_creates_per_minute: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000_000,
            description="Requests that create something which an organization may make in any minute; over it they are 429. "
            "Counted by each API process for itself. 0: no limit. The hosted service's figure: 300.",
        ),
    ] = 0
    rate_limit_reads_per_minute: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000_000,
            description="The same for every other request, runs of deployments among them. The hosted service's figure: 1200.",
        ),
    ] = 0
    wakes: Annotated[
        Literal["local", "procrastinate"],
        Meta(
            description="How servers that share a PostgreSQL database wake each other. local: not at all; what another process "
            "did is seen within seconds. procrastinate: at once, by the queue engine of that name (`pip install rota[queue]`)."
        ),
    ] = "local"
    rate_limit_sessions_per_minute: Annotated[
        int,
        Meta(
            ge=0,
            description="Sessions that an organization may create in a minute. Over it, `POST /v1/sessions` is 429 and a "
            "deployment run records `session_rate_limited_error`. 0: no limit.",
        ),
    ] = 0
    priced_models: Annotated[
        str,
        Meta(
            description="Comma-separated models, besides the vendor's listed ones, that have a list price and so may carry a budget: "
            "`name=input/output`, in dollars for a million tokens. Of a name without amounts only running time counts."
        ),
    ] = ""
    max_scheduled_deployments: Annotated[
        int,
        Meta(
            ge=0,
            description="Deployments with a schedule that an organization may have, archived ones not counted. 0: no limit, and "
            "nobody counts.",
        ),
    ] = 1000
    max_memories_per_store: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Memories that one memory store may hold.")
    ] = 2000
    max_workspace_storage_mb: Annotated[
        int,
        Meta(
            ge=0,
            description="Megabytes of files that a workspace may keep; the same bytes count once. Over it, an upload is 400 "
            "`storage_quota_exceeded`. 0: no limit.",
        ),
    ] = 0
    object_grace_seconds: Annotated[
        int,
        Meta(
            ge=1,
            description="How long bytes that no file or skill needs are kept before housekeeping removes them, for the sake of "
            "uploads that are still under way.",
        ),
    ] = 3600
    allow_private_hosts: Annotated[
        str,
        Meta(
            description="Comma-separated hosts that this server may ask although they are not public: names, addresses, either "
            "with a port (`mcp.internal:8080`), or blocks (`10.0.0.0/8`). They may speak plain HTTP, and on any port. Requests "
            "to MCP servers, token endpoints and webhooks go nowhere else that is private."
        ),
    ] = ""
    model_provider: Annotated[
        Literal["anthropic", "bedrock", "vertex", "scripted"] | None,
        Meta(
            description="Where models are asked. anthropic: anything that speaks the Messages API. bedrock, vertex: those clouds (extras "
            "of the same names). scripted: nowhere, replies are made up by rule and say so. Default: anthropic if there is a key or a "
            "base URL, else scripted."
        ),
    ] = None
    model_base_url: Annotated[
        str | None,
        Meta(description="URL of the Messages API: a gateway, vLLM, Ollama, llama.cpp. Default: the vendor's own."),
    ] = None
    model_api_key: Annotated[
        str | None,
        Meta(
            description="Key for the Messages API. With bedrock or vertex, a bearer token; default: what the cloud's own tools would use."
        ),
    ] = None
    model_silence_seconds: Annotated[
        int,
        Meta(
            ge=1, le=86_400, description="How long a model endpoint may say nothing before a request counts as failed."
        ),
    ] = 600
    model_max_tokens: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Tokens that one reply of a model may have.")
    ] = 16_384
    model_attempts: Annotated[
        int,
        Meta(
            ge=1,
            le=100,
            description="How often a model is asked, when it is overloaded or fails, before a turn gives up.",
        ),
    ] = 5
    max_requests_per_turn: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="Model requests that one turn may take; then it ends with `tool_use_limit_reached_error`.",
        ),
    ] = 500
    max_turning_sessions: Annotated[
        int, Meta(ge=1, le=10_000, description="Sessions that one server turns at the same time; others wait.")
    ] = 100
    sandbox: Annotated[
        Literal["bubblewrap", "unsafe-local", "off"],
        Meta(
            description="Where the tools of cloud environments run. bubblewrap: isolated, on Linux. unsafe-local: as this server's own "
            "user, with everything that it may do; never with agents or input that you do not trust. off: nowhere."
        ),
    ] = "bubblewrap"
    sandbox_memory_mb: Annotated[int, Meta(ge=16, description="Megabytes of memory that a sandbox may use.")] = 1024
    sandbox_disk_mb: Annotated[int, Meta(ge=1, description="Megabytes that a session may keep in its sandbox.")] = 2048
    sandbox_processes: Annotated[int, Meta(ge=8, description="Processes and threads that a sandbox may have.")] = 256
    sandbox_idle_seconds: Annotated[
        int,
        Meta(
            ge=0,
            le=86400,
            description="How long a session's sandbox is kept after a turn, with its shell and background processes; files stay anyway.",
        ),
    ] = 600
    max_idle_sandboxes: Annotated[
        int,
        Meta(ge=0, le=10_000, description="Sandboxes that are kept so at the same time; the longest idle make room."),
    ] = 20
    package_hosts: Annotated[
        str,
        Meta(
            description="Comma-separated hosts that limited networking admits with `allow_package_managers`, and that packages of "
            "environments are installed from: names, or `*.name`."
        ),
    ] = (
        "pypi.org,files.pythonhosted.org,registry.npmjs.org,registry.yarnpkg.com,crates.io,index.crates.io,static.crates.io,"
        "rubygems.org,index.rubygems.org,proxy.golang.org,sum.golang.org,archive.ubuntu.com,security.ubuntu.com,"
        "ports.ubuntu.com,deb.debian.org,security.debian.org"
    )
    pip_index_url: Annotated[
        str | None,
        Meta(
            description="URL of the package index that pip uses in sandboxes; its host is admitted like those of `ROTA_PACKAGE_HOSTS`. "
            "Sandboxes can read it, so it must hold no password. Default: pip's own."
        ),
    ] = None
    npm_registry: Annotated[
        str | None, Meta(description="URL of the registry that npm uses in sandboxes, likewise. Default: npm's own.")
    ] = None
    sandbox_uids: Annotated[
        str | None,
        Meta(
            description="Users, such as `50000-59999`, that sandboxes run as when this server is root, each session as one of its own. "
            "They must belong to nobody else. Default: 1900000000-1900065535, or 50000-59999 where there are no such numbers."
        ),
    ] = None
    schedule_jitter: Annotated[
        Literal["off", "published"],
        Meta(
            description="off: a schedule fires on time. published: up to 15 % of the interval later (at least 5 s, at most "
            "9 min), the delay following from deployment and occurrence, as the hosted service does. Times that are shown "
            "are exact either way."
        ),
    ] = "off"
    catch_up: Annotated[
        Literal["latest", "none", "all"],
        Meta(
            description="What becomes of occurrences that nobody fired in time, after the server was down for instance. "
            "latest: the newest one fires if it is young enough. none: nothing fires. all: the newest "
            "`ROTA_CATCH_UP_LIMIT` of them fire, oldest first. What does not fire is counted and listed as missed."
        ),
    ] = "latest"
    catch_up_window_seconds: Annotated[
        int, Meta(ge=0, le=366 * 86400, description="How old a missed occurrence may be for `latest` to fire it.")
    ] = 3600
    catch_up_limit: Annotated[
        int, Meta(ge=1, le=100_000, description="How many missed occurrences of a deployment `all` fires.")
    ] = 100
    overlap: Annotated[
        Literal["allow", "skip"],
        Meta(
            description="Whether a schedule fires while a session of its deployment is still running. What is passed over "
            "for that reason is counted and listed as skipped."
        ),
    ] = "allow"
    test_clock: Annotated[
        bool,
        Meta(
            description="For tests: time stands still until `POST /rota/v1/test_clock/set` or `/advance` turns it, and is kept "
            "in the database. Refused on an address that others can reach."
        ),
    ] = False
    shutdown_seconds: Annotated[
        int, Meta(ge=0, le=3600, description="How long requests in flight may take to finish after SIGTERM.")
    ] = 10
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="The least important lines that are logged.")
    ] = "info"
    log_json: Annotated[bool, Meta(description="Log lines as JSON, for machines.")] = False

    @property
    def database_url(self) -> str:
        """The database's URL, the default filled in."""
        return self.database or f"sqlite:///{Path(self.data_dir).expanduser().absolute() / 'rota.db'}"

    @property
    def blobs_url(self) -> str:
        """The URL of the place for files, the default filled in."""
        return self.blobs or (Path(self.data_dir).expanduser().absolute() / "blobs").as_uri()

    @property
    def seal_key_path(self) -> Path:
        """Where the sealing key lives, unless it is given as text."""
        return Path(self.seal_key_file) if self.seal_key_file else Path(self.data_dir).expanduser() / "seal.key"

    @property
    def roles(self) -> frozenset[str]:
        """The duties of this server. Unusable if one is unknown."""
        asked = frozenset(part.strip() for part in (self.only or ",".join(ROLES)).split(",") if part.strip())
        if unknown := asked - set(ROLES):
            raise Unusable(f"--only: unknown duty {', '.join(sorted(unknown))}; known are {', '.join(ROLES)}.")
        return asked


class Described(Struct, frozen=True):
    """One setting as people read about it. ``flag`` is empty for a secret."""

    name: str
    variable: str
    flag: str
    kind: str
    default: str
    description: str


def describe() -> list[Described]:
    """Every setting, in order; the flags and the reference page are made from this."""
    found: list[Described] = []
    properties: dict[str, Any] = msgspec.json.schema_components([Settings])[1]["Settings"]["properties"]
    for field in msgspec.structs.fields(Settings):
        schema = properties[field.name]
        meta = schema if "description" in schema else next(s for s in schema["anyOf"] if "description" in s)
        shape = next((s for s in schema.get("anyOf", [schema]) if s.get("type") != "null"), schema)
        kind = " or ".join(shape["enum"]) if "enum" in shape else str(shape.get("type", "string"))
        default = (
            ""
            if field.default in (None, msgspec.NODEFAULT)
            else str(field.default).lower()
            if isinstance(field.default, bool)
            else str(field.default)
        )
        if field.name == "data_dir":
            default = "~/.local/share/rota"
        # A secret on a command line is there for everybody to read who can list processes.
        flag = "" if field.name in SECRETS else "--" + field.name.replace("_", "-")
        found.append(Described(field.name, "ROTA_" + field.name.upper(), flag, kind, default, meta["description"]))
    return found


def load(flags: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """The settings from flags and environment. Unusable, naming the variable, if a value does not fit."""
    environment = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(Settings):
        name, source = field.name, f"ROTA_{field.name.upper()}"
        value: Any = environment.get(source) or None
        if flags and flags.get(name) is not None:
            value, source = flags[name], "--" + name.replace("_", "-")
        if value is None:
            continue
        try:
            values[name] = msgspec.convert(value, field.type, strict=False)
        except msgspec.ValidationError as exc:
            shown = "(hidden)" if name in SECRETS else repr(value)
            raise Unusable(f"{source}: {shown} does not fit: {exc}") from None
    return Settings(**values)
