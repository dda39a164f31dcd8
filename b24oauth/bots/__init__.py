"""Chat bots on `imbot.v2`: handlers of messages and commands, with or without a public address.

bot = Bot("echo", name="Echo")

@bot.message
async def echo(message):
    await message.answer(message.text)

await bot.run(b24)
"""

from b24oauth.bots.bot import Bot
from b24oauth.bots.keyboards import Button, Keyboard
from b24oauth.bots.limits import BOT_LIMITS
from b24oauth.bots.splitting import split_text
from b24oauth.bots.talking import Sent, Talk
from b24oauth.bots.updates import (
    Attachment,
    BotRemoved,
    Chat,
    Command,
    ContextOpened,
    Joined,
    Message,
    MessageChanged,
    MessageDeleted,
    Reaction,
    Update,
    User,
)
from b24oauth.bots.uploading import Upload

__all__ = [
    "BOT_LIMITS",
    "Attachment",
    "Bot",
    "BotRemoved",
    "Button",
    "Chat",
    "Command",
    "ContextOpened",
    "Joined",
    "Keyboard",
    "Message",
    "MessageChanged",
    "MessageDeleted",
    "Reaction",
    "Sent",
    "Talk",
    "Update",
    "Upload",
    "User",
    "split_text",
]
