"""Data: nouns that the rules of noun_phrases would get wrong, such as mass nouns, plurals and special phrases.

The nouns are those of Ego4D's taxonomies and their synonyms. A key of two words is a class's noun and the synonym or
sense in its parentheses.
"""

_MASS = """
adhesive art asparagus bacon baking_soda bamboo batter beef beer bread broccoli bubble_gum butter cardboard cash
cassava celery cellotape cement cereal chaff chalk champagne cheese chicken chocolate clay cocoa coffee concrete corn
cream debris detergent dirt dough dung dust fabric fat filler firewood flour foam foil food fuel garbage garlic gauze
ginger glue grain grass grease hair ham hay ice ice_cream ink juice kale ketchup lead lettuce litter lubricant lumber
maize manure meat medicine metal milk money mortar mud nail_polish oil okra packaging paint paper paperboard papercraft
pasta paste plywood popcorn putty rice salt sand sandpaper sauce sawdust sealant seasoning sellotape soap soil soup
spaghetti spice spinach steel string sugar tape tea thread timber toilet_paper trash twine vinegar wallpaper waste
water wheat wood woodcraft woodwork wool yarn yeast yoghurt
"""
MASS = frozenset(word.replace("_", " ") for word in _MASS.split())  # mass nouns: without an article

PLURALS = {  # words hardly used in the singular
    "boxer": "boxers",
    "earphone": "earphones",
    "goggle": "goggles",
    "headphone": "headphones",
    "jean": "jeans",
    "noodle": "noodles",
    "pant": "pants",
    "plier": "pliers",
    "scissor": "scissors",
    "short": "shorts",
    "spectacle": "spectacles",
    "sunglass": "sunglasses",
    "trouser": "trousers",
    "tweezer": "tweezers",
}

DROPPED = frozenset(  # words in parentheses that are not synonyms: other words, other spellings, mistakes
    {
        ("artwork", "draw"),
        ("brake", "break"),
        ("drill", "driller"),
        ("envelope", "envelop"),
        ("leaf", "leave"),
        ("mold", "molder"),
        ("person", "herself"),
        ("person", "himself"),
        ("person", "shoulder"),
        ("person", "they"),
        ("remote control", "control"),
        ("ruler", "rule"),
        ("scraper", "scrapper"),
        ("shell", "shell egg"),
        ("tape measure", "measure"),
        ("tape measure", "measurement"),
    }
)

SENSES = {  # where "a SENSE NOUN" would not be said
    ("bat", "sports"): ("a baseball bat", "a cricket bat"),
    ("bat", "tool"): ("a bat used as a tool",),
    ("block", "material"): ("a block of material",),
    ("chip", "food"): ("a potato chip",),
    ("chip", "metal"): ("a metal chip",),
    ("chip", "wood"): ("a wood chip",),
    ("cutter", "tool"): ("a cutting tool",),
    ("file", "tool"): ("a hand file",),
    ("jack", "tool"): ("a car jack",),
    ("nut", "food"): ("an edible nut",),
    ("nut", "tool"): ("a metal nut",),
    ("pepper", "vegetable"): ("a bell pepper",),
    ("pot", "planter"): ("a flower pot",),
    ("set square", "tool"): ("a set square",),
    ("stock", "food"): ("soup stock",),
    ("wiper", "car"): ("a windshield wiper",),
}

PHRASES: dict[str | tuple[str, str], str] = {  # of a word, or of a synonym of a noun
    "back": "a person's back",
    "crochet": "crochet work",
    "dice": "dice",
    "gas": "gas",
    "ground": "the ground",
    "hotdog": "a hot dog",
    "ipad": "an iPad",
    "jenga": "a Jenga block",
    "peel": "vegetable peel",
    "palm": "the palm of a hand",
    "rod metal": "a metal rod",
    "solder iron": "a soldering iron",
    "tv": "a TV",
    "tyre": "a tire",
    ("bag", "grocery"): "a grocery bag",
    ("bag", "nylon"): "a nylon bag",
    ("bag", "polythene"): "a plastic bag",
    ("bread", "loaf"): "a loaf of bread",
    ("computer", "screen"): "a computer screen",
    ("container", "storage"): "a storage container",
    ("engine", "assembly"): "an engine assembly",
    ("eraser", "rubber"): "a rubber eraser",
    ("glasses", "shade"): "shades",
    ("glue", "gum"): "gum",
    ("jack", "jack"): "a jack",
    ("jack", "lift"): "a lifting jack",
    ("light", "bulb"): "a light bulb",
    ("magnet", "sphere"): "a magnetic sphere",
    ("paper", "craft"): "craft paper",
    ("planer", "plane"): "a wood plane",
    ("puzzle or game piece", "chess"): "a chess piece",
    ("puzzle or game piece", "jigsaw"): "a jigsaw piece",
    ("puzzle or game piece", "puzzle"): "a puzzle piece",
    ("seasoning", "shaker"): "a salt shaker",
    ("shell", "egg shell"): "an eggshell",
    ("stove", "gas"): "a gas stove",
    ("torch", "torchlight"): "a flashlight",
    ("wood", "fiber"): "wood fiber",
    ("wrapper", "film"): "plastic film",
    ("wrapper", "seal"): "a package seal",
    ("wrapper", "wrap"): "plastic wrap",
    ("wrapper", "wrapping"): "wrapping",
}
