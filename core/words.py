"""Texts that people read, in one table by language; what a model says is not here."""

_TABLE: dict[str, dict[str, str]] = {
    "en": {
        "welcome": "Hello! I am Pieria, an assistant. Ask me anything, or send `{prefix}help` to see what I can do.",
        "joined": (
            "Hello! I am Pieria, an assistant (a bot). Mention me or reply to me, and I answer. I keep only what was "
            "addressed to me, sealed; `{prefix}new` starts afresh, `{prefix}help` shows more."
        ),
        "help": (
            "Ask me anything in your own words: science, mathematics, health, writing, code. I stream my answer; a "
            "message that you send meanwhile is answered next."
        ),
        "help_other": "Where `/` does not work, type `!` instead: `!new`.",
        "help_also": "Another way to give them: {also}.",
        "help_model": "Now speaking: {model}.",
        "new": "A new conversation. What was said before is kept, but I do not look at it any more.",
        "stopped": "Stopped.",
        "dropped": "Messages that waited were dropped: {count}.",
        "nothing_runs": "Nothing is running.",
        "nothing_to_retry": "There is nothing to try again yet.",
        "unknown_command": "I do not know the command {command}. `{prefix}help` shows the ones that there are.",
        "another_receives": (
            "Another Pieria ({other}) receives for this bot, and only one may: end that one, or let this one stand by. It "
            "takes over when the other ends."
        ),
        "admins_only": "Only an admin can do that.",
        "model_now": "This chat speaks with **{model}**.",
        "model_offered": "To change it: {list}.",
        "model_set": "From now on this chat speaks with **{model}**.",
        "model_default": "This chat speaks with the default model again: **{model}**.",
        "model_missing": "There is no model {model} here. To choose from: {list}.",
        "status": "Model: {model}\nConversation: {turns} turns\nUp since: {since}",
        "whoami": "You are {name} on {platform} (id {user}).\nAccess: {access}.\nThis chat is {kind}.",
        "private_chat": "private: what you say here stays between us",
        "group_chat": "a group: everybody here can read my answers",
        "is_admin": "admin",
        "is_allowed": "allowed",
        "code": (
            "This assistant is private. Show this code to the person who runs it: **{code}**, valid for 1 hour.\n"
            "They let you in with `pieria approve {code}`."
        ),
        "code_in_group": "This assistant is private. Send me a direct message, then I tell you how to get in.",
        "claimed": "This account is the operator's now. Everything is yours; `{prefix}help` shows what I can do.",
        "full": "Too many messages wait in this chat. I answer them first: please send this one again in a moment.",
        "slow": "That is more than I may answer a minute. Please send this again in {seconds} s; what comes sooner I cannot take.",
        "slow_group": (
            "This group asks more than I may answer a minute. Please send this again in {seconds} s; what comes sooner I "
            "cannot take."
        ),
        "budget_spent": "{whose} budget for {period} is spent. It begins anew on {at}.",
        "budget_held": "The rest of {whose} budget is held by answers that are under way. Please try again in a moment.",
        "budget_person": "Your",
        "budget_chat": "This chat's",
        "budget_all": "This assistant's",
        "today": "today",
        "this_month": "this month",
        "day": "day",
        "month": "month",
        "tokens": "{count} tokens",
        "price_unknown": "price unknown",
        "besides": ", and {count} tokens of unknown price",
        "limit": "{most} a {period}",
        "limit_each_person": "Each person may use {limit}.",
        "limit_each_chat": "Each chat may use {limit}.",
        "usage_you": "**You** used {day} today and {month} this month.",
        "usage_chat": "**This chat** used {day} today and {month} this month.",
        "usage_all": "**This assistant** used {day} today and {month} this month, all people together.",
        "usage_limit": "The limit: {limits}.",
        "no_budget": "No limits are set: `PIERIA_BUDGET` sets them.",
        "too_long": "That message is too long: {size} characters; {most} is the most I take at once.",
        "empty": "That message had no text that I could read.",
        "cannot_read": "I cannot read {kinds} yet. Please tell me in words what it is about.",
        "cannot_read_note": "*(I could not look at the {kinds} that came with it: I cannot read those yet.)*",
        "poison": "I am sorry: I failed at this message again and again, and have put it aside. Please try to say it differently.",
        "too_slow": "I am sorry, this took longer than {minutes} minutes, so I stopped. Try a smaller step, or `{prefix}retry`.",
        "stopped_note": "*(stopped)*",
        "cut_note": "*(The answer reached the model's length limit: say “go on” for the rest.)*",
        "refused_note": "*(The model's provider declined to go on.)*",
        "fallback_note": "*({instead} did not answer ({why}); {model} did.)*",
        "held_up": "*(Held up: this answer is late, I could not deliver it earlier.)*",
        "sent_again": "*(Sent again: I could not tell whether this arrived.)*",
        "first_builtin": (
            "*(A small built-in model speaks: good for a first look. For a better one set a provider's key, "
            "for example `OPENAI_API_KEY`, and start again.)*"
        ),
        "offline": (
            "No model is there yet: {why} Commands work all the same, and so does plain arithmetic such as `2 * 21`."
        ),
        "better_model": "For a better answer set a provider's key, such as OPENAI_API_KEY, and start again.",
        "retry": "Try again",
        "image": "pictures",
        "voice": "voice notes",
        "audio": "sound files",
        "video": "videos",
        "document": "documents",
        "sticker": "stickers",
        "location": "locations",
        "contact": "contacts",
        "about_help": "what I can do",
        "about_new": "start a new conversation",
        "about_stop": "stop the answer that is running",
        "about_retry": "answer the last message again",
        "about_model": "see or choose the model",
        "about_status": "how I am doing",
        "about_usage": "what you used",
        "about_budget": "what everybody used, for admins",
        "about_whoami": "who you are to me",
        "about_start": "begin",
    }
}


def words(key: str, language: str = "en", **values: object) -> str:
    """A text in the person's language, English where we lack it."""
    table = _TABLE.get(language.split("-", maxsplit=1)[0].lower(), _TABLE["en"])
    text = table.get(key) or _TABLE["en"][key]
    return text.format(**values) if values else text
