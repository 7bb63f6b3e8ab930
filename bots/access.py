"""Commands on the store of an installation, beside a running program or alone: who may talk, who rules, what was put aside."""

import argparse
import asyncio

from bots.connection import PLATFORMS
from bots.settings import Settings
from bots.wiring import installation_key
from core.errors import PieriaError, SettingsError
from core.messages import Account
from core.notes import SPACE, Notes
from core.people import OPERATOR, People
from core.seal import Keyring, Seal
from core.store import Store


async def access(arguments: argparse.Namespace, settings: Settings, url: str) -> int:
    """Carry one of the commands out on the store at `url`; returns the exit code."""
    seal = Seal(installation_key(settings))
    store = Store(url)
    try:
        await store.open(seal.fingerprint)
        people = People(store, seal, Keyring(seal, store.fetch_or_set), settings.access)
        if arguments.command == "dead":
            from bots.dead import dead

            return await dead(arguments.what, arguments.letters, store, people)
        if arguments.command == "approve":
            return await _approve(people, arguments.code, ask=not arguments.yes)
        if arguments.command == "admin" and arguments.what == "list":
            for account in await people.rulers():
                print(f"{account.platform}:{account.user}")
            return 0
        account = await _account(arguments.account, settings, store, people)
        if arguments.command == "allow":
            await people.allow(account)
            print("Let in. They can write now.")
        elif arguments.what == "add":
            await people.crown(account)
            print("Rules the installation now.")
        else:
            await people.uncrown(account)
            print("Rules no more; may still talk.")
        return 0
    finally:
        await store.close()


async def _approve(people: People, code: str, *, ask: bool) -> int:
    found = await people.waiting(code)
    if found is None:
        raise PieriaError("Nobody waits with that code: codes are valid for an hour. Ask them to write again.")
    print(f"{found.name or 'Somebody'} on {found.account.platform}, id {found.account.user}")
    if ask:
        answer = await asyncio.to_thread(input, "Let them in? [y/N] ")
        if answer.strip().lower() not in {"y", "yes"}:
            print("Not let in.")
            return 1
    await people.approve(code)
    print("Let in. They can write now.")
    return 0


async def _account(told: str | None, settings: Settings, store: Store, people: People) -> Account:
    """The account that PLATFORM:ID names, as our bot meets it."""
    platform, _, user = (told or "").partition(":")
    spaces = {"terminal": "local", "web": "page"}
    if platform not in (*spaces, *PLATFORMS) or not user:
        raise SettingsError(
            f"Name the account as PLATFORM:ID, such as telegram:123456789; {told or 'nothing'!r} is none."
        )
    if platform in spaces and user != OPERATOR:
        raise SettingsError(f"On {platform} there is only {platform}:{OPERATOR}.")
    space = spaces.get(platform) or (await Notes(store, people, platform).read(SPACE)).decode()
    if platform == "telegram" and settings.telegram_token:
        space = settings.telegram_token.reveal().partition(":")[0]
    if not space:
        raise SettingsError(f"Start Pieria once with the token of {platform}: an account is known through our bot.")
    return Account(platform, space, user)
