"""Who talks: members, guests and strangers of the workspace, and bots."""

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an account; `team` is the workspace that it belongs to."""

    id: str
    name: str
    team: str
    tz: str = "Europe/Vienna"
    admin: bool = False
    owner: bool = False
    guest: bool = False
    single_channel_guest: bool = False
    deleted: bool = False
    locale: str = "en-US"
    bot_id: str = ""
    app_id: str = ""

    @property
    def is_bot(self) -> bool:
        return bool(self.bot_id)

    @property
    def handle(self) -> str:
        return self.name.lower().replace(" ", ".")

    @property
    def profile(self) -> dict:
        known = {"real_name": self.name, "display_name": self.name, "team": self.team}
        bot = {"bot_id": self.bot_id, "api_app_id": self.app_id, "always_active": True} if self.is_bot else {}
        return known | {"real_name_normalized": self.name, "display_name_normalized": self.name} | bot

    def json(self, *, stranger: bool) -> dict:
        """The User object; `stranger`: of another workspace and in no channel that the app sees."""
        common = {"id": self.id, "team_id": self.team, "name": self.handle, "deleted": self.deleted}
        common |= {"profile": self.profile, "is_bot": self.is_bot, "is_app_user": False, "updated": 1700000000}
        if stranger:
            common["is_stranger"] = True
        if self.deleted:
            return common
        offset = int(datetime.now(ZoneInfo(self.tz)).utcoffset().total_seconds())
        zone = {"real_name": self.name, "tz": self.tz, "tz_label": self.tz, "tz_offset": offset}
        roles = {
            "is_admin": self.admin,
            "is_owner": self.owner,
            "is_primary_owner": False,
            "is_restricted": self.guest or self.single_channel_guest,
            "is_ultra_restricted": self.single_channel_guest,
        }
        return common | zone | roles

    @property
    def bot_profile(self) -> dict:
        return {"id": self.bot_id, "app_id": self.app_id, "name": self.name, "team_id": self.team, "deleted": False}
