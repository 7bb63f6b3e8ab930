"""A bot without an engine, written as python-telegram-bot's and httpx's documentation write one: no history, no store, and what is lost
is lost. It is what ours is measured against.
"""

import json
import os

import httpx
from telegram import Update
from telegram.ext import Application, ContextTypes, MessageHandler, filters

BASE_URL = os.environ["OPENAI_BASE_URL"]
MODEL = os.environ["PIERIA_MODEL"].partition(":")[2]
client = httpx.AsyncClient(headers={"Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"}, timeout=60.0)


async def answer(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
    messages = [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": update.message.text},
    ]
    body = {"model": MODEL, "messages": messages, "stream": True}
    text = ""
    async with client.stream("POST", f"{BASE_URL}/chat/completions", json=body) as response:
        response.raise_for_status()
        async for line in response.aiter_lines():
            if line.startswith("data: ") and line != "data: [DONE]":
                for choice in json.loads(line.removeprefix("data: "))["choices"]:
                    text += choice["delta"].get("content") or ""
    await context.bot.send_message(chat_id=update.effective_chat.id, text=text)


def main() -> None:
    application = (
        Application.builder()
        .token(os.environ["TELEGRAM_BOT_TOKEN"])
        .base_url(f"{os.environ['TELEGRAM_API_URL']}/bot")
        .concurrent_updates(True)
        .build()
    )
    application.add_handler(MessageHandler(filters.TEXT, answer))
    application.run_polling()


if __name__ == "__main__":
    main()
