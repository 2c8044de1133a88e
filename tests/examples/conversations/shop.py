"""Anna buys tea and cocoa."""

from tests.examples.talk import STAFF_ID, Talk

ENVIRONMENT = {"STAFF_CHAT": str(STAFF_ID)}


async def converse(talk: Talk) -> None:
    await talk.asks("/start", "Welcome to the shop, Anna!")
    await talk.asks("🛒 Cart", "Your cart is empty.")
    shop = await talk.asks("🛍 Catalogue", "What would you like?")
    await talk.presses(shop, "Tea, 4 €")
    tea = await talk.reads("Tea costs 4 €.")
    assert (await talk.presses(tea, "+2"))["text"] == "2 in the cart"
    assert (await talk.presses(tea, "+1"))["text"] == "3 in the cart"
    await talk.presses(tea, "« Back")
    shop = await talk.reads("What would you like?")
    await talk.presses(shop, "Cocoa, 5 €")
    await talk.presses(await talk.reads("Cocoa costs 5 €."), "+1")
    cart = await talk.asks("/cart", "3 x Tea: 12 €\n1 x Cocoa: 5 €\nTotal: 17 €")
    await talk.presses(cart, "Order")
    await talk.reads("For whom is it?")
    await talk.asks("Anna Almond", "At which number do we reach you?")
    await talk.asks("by pigeon", "That is no phone number. Please write digits only, such as +491701234567.")
    await talk.asks("+491701234567", "And where shall it go?")
    question = await talk.asks(
        "Garden Lane 3", "3 x Tea: 12 €\n1 x Cocoa: 5 €\nTotal: 17 €\nfor Anna Almond, Garden Lane 3?"
    )
    await talk.presses(question, "✅ Yes")
    await talk.reads("Thank you, it is on its way!")
    await talk.reads(
        "New order of Anna Almond (+491701234567)\n3 x Tea: 12 €\n1 x Cocoa: 5 €\nTotal: 17 €", chat_id=STAFF_ID
    )
    await talk.asks("/cart", "Your cart is empty.")
