"""An AI agent: it answers in pieces while its model writes, and remembers each dialog.

The model is a script, so that the example runs without an account; put the stream of your provider in its place.
"""

import asyncio
import logging
import os
from collections import defaultdict, deque
from collections.abc import AsyncIterator

from b24oauth import B24OAuthSecret, B24Portals
from b24oauth.bots import BOT_LIMITS, Bot, Button, Command, Joined, Keyboard, Message
from b24oauth.stores import SQLiteStore

bot = Bot("agent", name="Agent", work_position="Assistant", type="personal")
# What was said in each dialog of each portal, the last 20 messages of it.
history: defaultdict[tuple[str, str], deque[tuple[str, str]]] = defaultdict(lambda: deque(maxlen=20))
FORGET = Keyboard([Button("Forget everything", command="forget")])


async def model(said: list[tuple[str, str]]) -> AsyncIterator[str]:
    """The words of an answer, one by one."""
    questions = [text for role, text in said if role == "user"]
    answer = f"You have asked {len(questions)} times. Your last question was: {questions[-1]}"
    for word in answer.split(" "):
        await asyncio.sleep(0.2)
        yield f"{word} "


async def remembering(words: AsyncIterator[str], said: deque[tuple[str, str]]) -> AsyncIterator[str]:
    """Passes the words on, and remembers the whole answer."""
    answer = ""
    async for word in words:
        answer += word
        yield word
    said.append(("assistant", answer))


def key(event: Message | Command) -> tuple[str, str]:
    return event.b24.auth.get_params().member_id, event.dialog_id


@bot.message
async def answer(message: Message) -> None:
    said = history[key(message)]
    said.append(("user", message.text))
    async with message.typing("IMBOT_AGENT_ACTION_THINKING"):
        await message.stream(remembering(model(list(said)), said), keyboard=FORGET)


@bot.command("forget", title="Forgets what was said in this dialog")
async def forget(command: Command) -> None:
    history.pop(key(command), None)
    await command.answer("I have forgotten everything.")


@bot.joined
async def hello(event: Joined) -> None:
    await event.answer("Hello! Ask me anything.")


@bot.error
async def failed(error: Exception, update: object) -> None:
    logging.getLogger("agent").error("%s: %s", type(update).__name__, type(error).__name__)
    if isinstance(update, Message):
        await update.answer("Sorry, that did not work. Please try again.")


async def main() -> None:
    secret = B24OAuthSecret(client_id=os.environ["CLIENT_ID"], client_secret=os.environ["CLIENT_SECRET"])
    async with B24Portals(secret, SQLiteStore("portals.db"), restriction_params=BOT_LIMITS) as portals:
        await bot.run_portals(portals)


asyncio.run(main())
