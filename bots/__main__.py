"""`pieria run | chat | setup | approve | allow | admin | dead`: reads settings, starts the store at once, and hands over to the wiring."""

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from adapters.valkey import DataFolderBusy, Valkey
from bots.settings import Settings, read
from core.errors import PieriaError

VERSION = "0.1.0"


def main() -> int:
    """The program; returns its exit code."""
    arguments = _arguments().parse_args()
    try:
        if arguments.command == "setup":
            from bots import setup

            return setup.run(arguments.what, os.environ, Path.cwd())
        settings = read(os.environ, Path.cwd())
        return _start(arguments, settings)
    except PieriaError as error:
        print(f"pieria: {error.sentence}", file=sys.stderr)
    except ExceptionGroup as group:
        sentences = list(_sentences(group))
        if not sentences:
            raise
        print(*sentences, sep="\n", file=sys.stderr)
    except KeyboardInterrupt:
        return 130
    return 1


def _sentences(group: BaseExceptionGroup) -> Iterator[str]:
    """What the errors of a group say; nothing where one of them is not ours."""
    if group.split(PieriaError)[1] is None:
        for error in group.exceptions:
            if isinstance(error, BaseExceptionGroup):
                yield from _sentences(error)
            elif isinstance(error, PieriaError):
                yield f"pieria: {error.sentence}"


def _start(arguments: argparse.Namespace, settings: Settings) -> int:
    valkey = None
    if not settings.redis_url:
        valkey = Valkey(settings.data)
        try:
            valkey.spawn()  # before the imports that take their time
        except DataFolderBusy as busy:
            return _beside(arguments, settings, busy)
    try:
        from bots import console

        return console.start(arguments, settings, valkey)
    finally:
        if valkey is not None:
            valkey.close()


def _beside(arguments: argparse.Namespace, settings: Settings, busy: DataFolderBusy) -> int:
    if arguments.command == "run":
        raise busy
    from bots import console

    return console.beside(arguments, settings, busy)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pieria", description="One assistant behind every chat.")
    parser.add_argument("--version", action="version", version=f"pieria {VERSION}")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="the web page and every platform that has a token")
    run.add_argument(
        "--role",
        choices=["all", "adapters", "worker"],
        default="all",
        help="of several processes that share REDIS_URL: adapters receive and deliver, workers answer (default: all)",
    )
    chat = commands.add_parser("chat", help="talk in the terminal; a piped text or an argument is answered once")
    chat.add_argument("question", nargs="*", help="answered at once, the reply alone on standard output")
    setup = commands.add_parser("setup", help="connect a platform or a model: asks, tries, and writes pieria.toml")
    setup.add_argument("what", choices=["telegram", "slack", "discord", "model"])
    approve = commands.add_parser("approve", help="let in the account that shows a code")
    approve.add_argument("code")
    approve.add_argument("--yes", action="store_true", help="do not ask")
    allow = commands.add_parser("allow", help="let in an account by its id")
    admin = commands.add_parser("admin", help="who rules the installation")
    admin.add_argument("what", choices=["add", "remove", "list"])
    allow.add_argument("account", metavar="PLATFORM:ID", help="such as telegram:123456789")
    admin.add_argument("account", metavar="PLATFORM:ID", nargs="?")
    dead = commands.add_parser("dead", help="messages that failed again and again and were put aside")
    dead.add_argument("what", choices=["list", "show", "retry", "drop"])
    dead.add_argument("letters", metavar="ID", nargs="*", help="as list shows them, or all")
    return parser


if __name__ == "__main__":
    sys.exit(main())
