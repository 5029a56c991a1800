"""The API's routes as commands, made from the route table.

``deployments.run`` becomes ``rota deployments run ID``: path parameters are arguments, query parameters and the body's
fields are options. ``rota api`` has all of them; where a noun is also one of our own commands (``organizations``), the
API's verbs are found only there. Promises: a new route needs no line here.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, cast

import click
import msgspec
from msgspec import Struct, inspect

from rota.api import ROUTES
from rota.base.errors import Unusable
from rota.cli import show
from rota.cli.call import Call, onward, send, send_all
from rota.cli.follow import follow
from rota.cli.options import as_json
from rota.cli.transfer import download, upload
from rota.http.route import Route

Kind = Literal["text", "integer", "number", "flag", "choice", "texts", "json", "mixed", "file", "files"]

_OWN = frozenset({"json", "url", "api-key", "all", "data", "idempotency-key", "help", "output"})
_DEFAULT_URL = "http://127.0.0.1:8700"


class Field(Struct, frozen=True):
    """One query parameter or top-level body field, as an option. ``name`` is the wire's, ``flag`` the option's."""

    name: str
    flag: str
    kind: Kind
    choices: list[str] = []
    required: bool = False

    @property
    def variable(self) -> str:
        """What click calls the value."""
        return "field_" + self.flag.replace("-", "_")


def fields_of(kind: type[Struct] | None) -> list[Field]:
    """The options that a query's or a body's Struct gives; none for a body that is not a Struct."""
    if kind is None:
        return []
    shape = inspect.type_info(kind)
    if not isinstance(shape, inspect.StructType):
        return []
    return [_field(field) for field in shape.fields]


def _field(field: inspect.Field) -> Field:
    name = field.encode_name
    flag = name.replace("[]", "").replace("[", "-").replace("]", "").replace("_", "-")
    kind, choices = _kind(field.type)
    return Field(name, f"set-{flag}" if flag in _OWN else flag, kind, choices, field.required)


def _kind(shape: inspect.Type) -> tuple[Kind, list[str]]:
    if isinstance(shape, inspect.Metadata):
        return _kind(shape.type)
    if isinstance(shape, inspect.UnionType):
        members = [member for member in shape.types if not isinstance(member, inspect.NoneType)]
        if len(members) == 1:
            return _kind(members[0])
        return ("mixed" if any(isinstance(member, inspect.StrType) for member in members) else "json"), []
    match shape:
        case inspect.BoolType():
            return "flag", []
        case inspect.IntType():
            return "integer", []
        case inspect.FloatType():
            return "number", []
        case inspect.StrType() | inspect.DateTimeType():
            return "text", []
        case inspect.LiteralType() if all(isinstance(value, str) for value in shape.values):
            return "choice", [str(value) for value in shape.values]
        case inspect.BytesType():
            return "file", []
        case inspect.ListType() if isinstance(shape.item_type, inspect.BytesType):
            return "files", []
        case inspect.ListType() if isinstance(shape.item_type, inspect.StrType | inspect.LiteralType):
            return "texts", []
        case _:
            return "json", []


def _option(field: Field, *, in_body: bool) -> click.Option:
    names = [f"--{field.flag}", field.variable]
    sentence = "Required." if field.required else None
    match field.kind:
        case "flag":
            return click.Option([f"--{field.flag}/--no-{field.flag}", field.variable], default=None, help=sentence)
        case "integer":
            return click.Option(names, type=int, metavar="N", help=sentence)
        case "number":
            return click.Option(names, type=float, metavar="N", help=sentence)
        case "choice":
            return click.Option(names, type=click.Choice(field.choices), help=sentence)
        case "file" | "files":
            many = field.kind == "files"
            sentence = f"{'May be repeated. ' if many else ''}{sentence or ''}".strip()
            return click.Option(names, metavar="PATH", multiple=many, help=sentence)
        case "texts" if not in_body:
            return click.Option(names, multiple=True, metavar="TEXT", help="May be repeated.")
        case "text":
            return click.Option(names, metavar="TEXT", help=sentence)
        case "mixed":
            return click.Option(
                names, metavar="TEXT|JSON", help=f"Plain text, JSON, or @file. {sentence or ''}".strip()
            )
        case _:
            return click.Option(names, metavar="JSON", help=f"JSON, or @file. {sentence or ''}".strip())


def _body_value(field: Field, given: Any) -> Any:
    """A body option's value as it travels."""
    if field.kind not in ("json", "texts", "mixed"):
        return given
    text: str = given
    if text.startswith("@"):
        return _json(_read(text[1:]), f"--{field.flag}")
    if field.kind == "mixed" and not text.lstrip().startswith(("{", "[", '"')):
        return None if text == "null" else text
    return _json(text, f"--{field.flag}")


def _read(source: str) -> str:
    try:
        return sys.stdin.read() if source == "-" else Path(source).read_text()
    except (OSError, UnicodeDecodeError) as exc:
        raise Unusable(f"{source} cannot be read: {exc}") from exc


def _json(text: str, where: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as exc:
        raise Unusable(f"{where}: this is not JSON: {exc}") from exc


def _data(source: str | None) -> dict[str, Any]:
    if source is None:
        return {}
    if source == "-":
        text = _read("-")
    elif source.startswith("@"):
        text = _read(source[1:])
    else:
        text = source
    value = _json(text, "--data")
    if not isinstance(value, dict):
        raise Unusable("--data: must be a JSON object.")
    return cast("dict[str, Any]", value)


def command(route: Route) -> click.Command:
    """The command of one route."""
    query, body, form = fields_of(route.query), fields_of(route.body), fields_of(route.upload)
    lists = _is_list(route)

    def act(
        url: str,
        api_key: str | None,
        json_: bool,
        data: str | None = None,
        all_: bool = False,
        idempotency_key: str | None = None,
        output: str | None = None,
        **values: Any,
    ) -> None:
        call = Call(
            route=route,
            url=url,
            api_key=api_key,
            path=[values[f"path_{name}"] for name in route.parameters],
            query={
                field.name: _query_value(values[field.variable])
                for field in query
                if values[field.variable] not in (None, ())
            },
            idempotency_key=idempotency_key,
        )
        if route.body is not None:
            given = {
                field.name: _body_value(field, values[field.variable])
                for field in body
                if values[field.variable] is not None
            }
            call.body = _data(data) | given
        if route.returns is bytes:
            return download(call, output)
        if route.streams:
            return follow(call, as_json=json_)
        if route.upload is not None:
            call.fields, call.files = _form(form, values)
            return _print(upload(call), call, as_list=False, json_=json_)
        answer = send_all(call) if all_ else send(call)
        return _print(answer, call, as_list=lists, json_=json_)

    parameters: list[click.Parameter] = [
        click.Argument([f"path_{name}"], metavar=name.upper()) for name in route.parameters
    ]
    parameters += [_option(field, in_body=False) for field in query]
    parameters += [_option(field, in_body=True) for field in body]
    parameters += [_option(field, in_body=False) for field in form]
    if route.returns is bytes:
        parameters.append(click.Option(["--output"], metavar="PATH", help="Where to put the file; default: stdout."))
    if route.body is not None:
        parameters.append(
            click.Option(
                ["--data"], metavar="JSON", help="The whole body: JSON, @file, or - for stdin. Options go on top."
            )
        )
    if route.creates:
        parameters.append(
            click.Option(["--idempotency-key"], metavar="TEXT", help="The same key and body again do nothing twice.")
        )
    if lists:
        parameters.append(click.Option(["--all", "all_"], is_flag=True, help="Follow the pages to the end."))
    made = click.Command(
        route.name.split(".")[-1],
        callback=act,
        params=parameters,
        help=f"{route.summary}.\n\n{route.method} {route.path}",
    )
    return _with_connection(made)


def _form(fields: list[Field], values: dict[str, Any]) -> tuple[dict[str, str], list[tuple[str, Path]]]:
    """What a form's options hold: plain fields as text, and files."""
    texts: dict[str, str] = {}
    files: list[tuple[str, Path]] = []
    for field in fields:
        given: Any = values[field.variable]
        if field.kind == "file":
            files += [] if given is None else [(field.name, Path(given))]
        elif field.kind == "files":
            files += [(field.name, Path(path)) for path in given]
        elif given not in (None, ()):
            texts[field.name] = str(_query_value(given))
    return texts, files


def _with_connection(made: click.Command) -> click.Command:
    decorators: list[Callable[[click.Command], click.Command]] = [
        as_json,
        click.option("--api-key", envvar="ROTA_API_KEY", metavar="KEY", help="The key to use.  [ROTA_API_KEY]"),
        click.option(
            "--url", envvar="ROTA_URL", default=_DEFAULT_URL, help=f"The server.  [ROTA_URL; default {_DEFAULT_URL}]"
        ),
    ]
    for decorate in decorators:
        made = decorate(made)
    return made


def _query_value(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value


def _is_list(route: Route) -> bool:
    return route.paged or "after_id" in {field.name for field in fields_of(route.query)}


def _print(answer: Any, call: Call, *, as_list: bool, json_: bool) -> None:
    if json_:
        show.json(answer)
    elif as_list:
        show.listing(answer["data"])
        if more := onward(answer, call.query):
            name, value = next(iter(more.items()))
            click.echo(f"There is more: --{name.replace('_', '-')} {value}, or --all.", err=True)
    else:
        show.thing(answer)


class Nouns(click.Group):
    """Nouns and verbs by their names in the route table; a hyphen does for an underscore."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        return super().get_command(ctx, cmd_name.replace("-", "_"))


def group(routes: list[Route]) -> click.Group:
    """All routes as a tree of nouns and verbs."""
    root = Nouns("api", help="Every route of the API as a command. Nouns nest: rota api agents versions list ID.")
    for route in routes:
        *nouns, verb = route.name.split(".")
        place = root
        for noun in nouns:
            below = place.commands.get(noun)
            if not isinstance(below, click.Group):
                below = Nouns(noun, help=f"Verbs of {noun.replace('_', ' ')}.")
                place.add_command(below)
            place = below
        place.add_command(command(route), verb)
    return root


api = group(ROUTES)
