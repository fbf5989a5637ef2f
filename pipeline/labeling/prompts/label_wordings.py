"""Data: natural wordings of Ego4D labels, most of them of Moments, that the rules of label_phrases would garble.

Keys are published labels in lower case, without quotes and underscores; values are imperative sentences.
"""

LABELS = {
    "arrange / organize clothes in closet/dresser": "arrange or organize clothes in a closet or dresser",
    "arrange / organize items in fridge": "arrange or organize items in a fridge",
    "arrange / organize other items": "arrange or organize items",
    "arrange pillows on couch / chair": "arrange pillows on a couch or chair",
    "browse through accessories on rack / shelf": "browse through accessories on a rack or shelf",
    "browse through clothing items on rack / shelf / hanger": "browse through clothing on a rack, shelf or hanger",
    "browse through groceries or food items on rack / shelf": (
        "browse through groceries or food items on a rack or shelf"
    ),
    "browse through other items on rack / shelf": "browse through items on a rack or shelf",
    "chop / cut wood pieces using tool": "chop or cut pieces of wood using a tool",
    "clean / repair small equipment (mower, trimmer etc.)": (
        "clean or repair small equipment such as a mower or trimmer"
    ),
    "clean / sweep floor with broom": "clean or sweep the floor with a broom",
    "clean / wipe / oil metallic item": "clean / wipe / oil a metal item",
    "clean / wipe kitchen appliance": "clean or wipe a kitchen appliance",
    "clean / wipe other surface or object": "clean or wipe a surface or object",
    "collect / rake dry leaves on ground": "collect or rake dry leaves on the ground",
    "compare two clothing items": "compare two items of clothing",
    "cut / chop / slice a vegetable, fruit, or meat": "cut / chop / slice a vegetable, a fruit or meat",
    "cut / trim grass with other tools": "cut or trim grass with garden tools",
    "cut other item using tool": "cut an item using a tool",
    "cut thread / paper / cardboard using scissors / knife / cutter": (
        "cut thread, paper or cardboard using scissors, a knife or a cutter"
    ),
    "cut tree branch": "cut a tree branch",
    "dismantle other item": "dismantle an item",
    "drill into wall / wood / floor / metal": "drill into a wall, wood, a floor or metal",
    "drink beverage": "drink a beverage",
    "fix bonnet / engine of car": "fix the bonnet or engine of a car",
    "fix other item": "fix an item",
    "fix pipe / plumbing": "fix a pipe or plumbing",
    "fry other food item": "fry food",
    "hang clothes in closet / on hangers": "hang clothes in a closet or on hangers",
    "interact or play with pet / animal": "interact or play with a pet or another animal",
    "level ground / soil (eg. using rake, shovel, etc)": "level ground or soil using a rake, shovel or similar tool",
    "make the bed / arrange pillows, sheets etc. on bed": "make the bed or arrange pillows and sheets on a bed",
    "mark item with pencil / pen / marker": "mark an item with a pencil, pen or marker",
    "measure wooden item using tape / ruler": "measure a wooden item using a tape measure or ruler",
    "move / shift around construction material": "move or shift construction material",
    "object state change": "change the state of an object",
    "no object state change": "do something that changes the state of no object",
    "pack other items into bags / boxes": "pack items into bags or boxes",
    "paint using paint brush / roller": "paint using a paintbrush or roller",
    "pay at billing counter": "pay at a checkout counter",
    "place items in shopping cart": "place items in a shopping cart",
    "plant seeds / plants / flowers into ground": "plant seeds, plants or flowers in the ground",
    "plaster wall / surface": "plaster a wall or another surface",
    "play board game or card game": "play a board game or card game",
    "put away (or take out) dishes / utensils in storage": ("put dishes or utensils into storage or take them out"),
    "put away (or take out) food items in the fridge": "put food items into the fridge or take them out",
    "put away (or take out) ingredients in storage": "put ingredients into storage or take them out",
    "put on safety equipment (e.g. gloves, helmet, safety goggles)": (
        "put on safety equipment such as gloves, a helmet or safety goggles"
    ),
    "remove weeds from ground": "remove weeds from the ground",
    "rinse / drain other food item in sieve / colander": "rinse or drain food in a sieve or colander",
    "smoke cigar / cigarette / vape": "smoke a cigar, cigarette or vape",
    "smooth wood using sandpaper / sander / tool": "smooth wood using sandpaper, a sander or another tool",
    "stand in the queue / line at a shop / supermarket": "stand in a queue or line at a shop or supermarket",
    "take photo / record video with a camera": "take a photo or record a video with a camera",
    "throw away trash / put trash in trash can": "throw away trash or put it in a trash can",
    "try-out / wear accessories (e.g. tie, belt, scarf)": ("try on or wear accessories such as a tie, belt or scarf"),
    "try-out / wear clothing items (e.g. shirt, jeans, sweater)": (
        "try on or wear clothing such as a shirt, jeans or a sweater"
    ),
    "use hammer / nail-gun to fix nail": "use a hammer or nail gun to drive in a nail",
    "use phone": "use a phone",
    "walk down stairs / walk up stairs": "walk up or down stairs",
    "wash vegetable / fruit / food item": "wash vegetables, fruit or other food",
    "weigh food / ingredient using a weighing scale": "weigh food or an ingredient using a weighing scale",
    "withdraw money from atm / operate atm": "withdraw money from an ATM or operate an ATM",
    "write notes in a paper / book": "write notes on paper or in a book",
}
