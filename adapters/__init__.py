"""Platforms by name, loaded only when they are switched on."""

PLATFORMS = {
    "telegram": "adapters.chat.telegram.outbound:Telegram",
    "web": "adapters.chat.web.outbound:Web",
    "terminal": "adapters.chat.terminal.outbound:Terminal",
}
