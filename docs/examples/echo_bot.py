"""A bot that repeats each message, on all portals of an application. It needs no public address."""

import asyncio
import os

from b24oauth import B24OAuthSecret, B24Portals
from b24oauth.bots import BOT_LIMITS, Bot, Message
from b24oauth.stores import SQLiteStore

bot = Bot("echo", name="Echo")


@bot.message
async def echo(message: Message) -> None:
    await message.answer(message.text)


async def main() -> None:
    secret = B24OAuthSecret(client_id=os.environ["CLIENT_ID"], client_secret=os.environ["CLIENT_SECRET"])
    async with B24Portals(secret, SQLiteStore("portals.db"), restriction_params=BOT_LIMITS) as portals:
        await bot.run_portals(portals)


asyncio.run(main())
