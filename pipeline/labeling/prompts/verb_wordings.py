"""Data: the objects and particles of English verbs, so that "someone putting" becomes "someone putting something down".

The verbs are those of Ego4D's taxonomies and their synonyms; other verbs get no object.
"""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


PARTICLES = _words("""
apart aside away back down in off on out over together up
""")
PREPOSITIONS = PARTICLES | _words("""
about above across after against along around as at before behind below beside between by during for from inside
into near next of onto outside through to toward towards under until upon using via while with within without
""")  # words that cannot begin the object of a verb

_SOMETHING = _words("""
add adjust align apply arrange assemble attach beat bend bind blend break bring brush build carry carve catch change
check clean close collect combine compress connect cook count cover cross crush cut detach dip disconnect distribute
divide drag drain drop dump dust erase examine exchange fasten fetch fill fix flip fold fry gather get glue grab
grasp grate grind grip hammer hang heap hit hold increase insert inspect iron join keep kick lay lift light lock
loosen lower mark measure mix mold mop move open pack peel pile plant polish pound pour press pull pump push raise
reduce regulate remove repair replace rinse roll rotate rub sand scatter scoop scrape scratch screw scrub select
separate set shake sharpen shave shift shut sieve slice smear smooth soak sort spin split spray spread sprinkle
squeeze stack stir straighten stretch support sweep swing take tape taste tear thread throw tie tighten tilt toss
touch transfer trim turn twist uncover unfold unhook unlock unpack unplug unroll unscrew untie unwrap unzip use view
wash watch wear weigh wipe wrap
""")
_PHRASES = {  # imperative sentences
    "blow": "blow on something",
    "chop": "chop something up",
    "click button": "click a button",
    "consume": "eat or drink",
    "converse": "converse with someone",
    "dial": "dial a phone",
    "dispose": "dispose of something",
    "drill": "drill a hole",
    "drive": "drive a vehicle",
    "enter": "enter a room",
    "feed": "feed someone or an animal",
    "give": "give something to someone",
    "interact": "interact with someone",
    "knead": "knead dough",
    "knock": "knock on something",
    "leave": "leave something behind",
    "look": "look at something",
    "operate": "use a device",
    "park": "park a vehicle",
    "pass": "pass something to someone",
    "pet": "pet an animal",
    "pick": "pick something up",
    "place": "place something somewhere",
    "plug in": "plug something in",
    "point": "point at something",
    "put": "put something down",
    "ride": "ride a vehicle or an animal",
    "screw": "screw something in",
    "scroll": "scroll on a screen",
    "search": "search for something",
    "serve": "serve food",
    "shuffle": "shuffle cards",
    "sip": "sip a drink",
    "sit": "sit down",
    "stand": "stand up",
    "start": "start a device",
    "step": "take a step",
    "stick": "stick something onto something",
    "switch off": "switch something off",
    "switch on": "switch something on",
    "talk": "talk to someone",
    "turn off": "turn something off",
    "turn on": "turn something on",
    "turn over": "turn something over",
    "water": "water plants",
    "wave": "wave a hand",
    "zip": "zip something up",
}

# Verbs that are hardly ever nouns: after "or" and with an object, they begin another action.
UNMISTAKABLE = _words("""
add adjust apply arrange attach bake bring browse build carry chop clean collect connect cook dig do dry eat empty
enter exit fill fix fold get give hang harvest hold install keep knead make mix move open operate organize pack pay
peel pick place play pour prepare push put read record remove repair replace rinse scrub serve stir sweep take throw
trim unload unpack use wash watch wear weigh wipe write
""")


def imperative(verb: str) -> str:
    """A verb in its base form, with an object if English needs one: `put` -> `put something down`."""
    if verb in _PHRASES:
        return _PHRASES[verb]
    if verb in _SOMETHING:
        return f"{verb} something"
    base, _, particle = verb.partition(" ")
    takes_something = base in _SOMETHING or f"{base} something" in _PHRASES.get(base, "")
    return f"{base} something {particle}" if particle in PARTICLES and takes_something else verb
