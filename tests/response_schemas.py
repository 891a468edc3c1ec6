"""Fifty JSON schemas as people send them: flat and nested records, lists, enums, unions, references, Chinese names and values."""


def record(required=None, **fields):
    return {
        "type": "object",
        "properties": fields,
        "required": list(fields) if required is None else required,
        "additionalProperties": False,
    }


def text(most=12, **more):
    return {"type": "string", "maxLength": most, **more}


def many(items, most=3, least=0):
    return {"type": "array", "items": items, "minItems": least, "maxItems": most}


def whole(low=0, high=999):
    return {"type": "integer", "minimum": low, "maximum": high}


YES, NOTHING = {"type": "boolean"}, {"type": "null"}
NUMBER = {"type": "number", "minimum": 0, "maximum": 100}
RISK = {"enum": ["低", "中", "高"]}
CITY = {"type": "string", "enum": ["北京", "上海", "São Paulo", 'O\'Fallon "west"', "🚁"]}
TREE = {"$defs": {"node": record(name={"enum": ["a", "b"]}, children=many({"$ref": "#/$defs/node"}, 1))}, "$ref": "#/$defs/node"}
LINKED = {"$defs": {"one": record(["v"], v=whole(), next={"anyOf": [{"$ref": "#/$defs/one"}, NOTHING]})}, "$ref": "#/$defs/one"}

SCHEMAS = [
    record(answer=text()),
    record(回答=text(), 可信=YES),
    record(risk=RISK),
    record(risk=RISK, reasons=many(text(8))),
    record(city=CITY, days=whole(1, 14)),
    record(name=text(6), age=whole(0, 120), email=text(20, pattern=r"^[a-z]{1,6}@[a-z]{1,6}\.cn$")),
    record([], a=whole(), b=YES, c=RISK),
    record(["b"], a=whole(), b=YES, c=RISK),
    record(position=record(x=NUMBER, y=NUMBER)),
    record(drone=record(model=text(8), battery=record(cells=whole(1, 12), full=YES))),
    record(a=record(b=record(c=record(d=record(e=whole(0, 9)))))),
    record(steps=many(record(number=whole(1, 9), what=text(6)), 2, 1)),
    record(matrix=many(many(whole(0, 9), 3, 3), 2, 2)),
    record(tags=many({"enum": ["快", "慢", "稳"]}, 4)),
    record(date={"type": "string", "format": "date"}),
    record(time={"type": "string", "format": "time"}),
    record(at={"type": "string", "format": "date-time"}),
    record(id={"type": "string", "format": "uuid"}),
    record(host={"type": "string", "format": "ipv4"}),
    record(code=text(9, pattern=r"^[A-Z]{2}[0-9]{3}$")),
    record(plate=text(9, pattern="^沪[A-Z][0-9]{5}$")),
    record(value={"anyOf": [whole(), text(5)]}),
    record(value={"anyOf": [NOTHING, RISK]}),
    record(value={"type": ["integer", "null"], "minimum": 0, "maximum": 99}),
    record(kind={"const": "飞行"}, minutes=whole(0, 60)),
    {"anyOf": [record(kind={"const": "a"}, a=whole()), record(kind={"const": "b"}, b=YES)]},
    {"oneOf": [record(kind={"const": "a"}, a=whole()), record(other={"const": "b"}, b=YES)]},
    {"allOf": [{"type": "object", "properties": {"a": whole()}, "required": ["a"]}, record(["b"], a=whole(), b=YES)]},
    {"$defs": {"p": record(x=whole(), y=whole())}, **record(start={"$ref": "#/$defs/p"}, end={"$ref": "#/$defs/p"})},
    TREE,
    LINKED,
    many(whole(0, 9), 4, 1),
    many(RISK, 3),
    many({"anyOf": [YES, NOTHING, whole(0, 9)]}, 4, 2),
    many(record(q=text(5), a=text(5)), 2),
    {"type": "array", "prefixItems": [whole(0, 9), RISK, YES], "items": False, "minItems": 3},
    {"enum": ["yes", "no", "不知道"]},
    {"enum": [1, 2.5, None, True, "x", ["y"], {"z": 0}]},
    {"const": {"完成": True, "n": [1, 2]}},
    whole(-50, 50),
    NUMBER,
    YES,
    NOTHING,
    text(10),
    text(10, minLength=3),
    record(one={"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 10}, even={**whole(0, 20), "multipleOf": 2}),
    {"type": "object", "additionalProperties": whole(0, 9), "maxProperties": 2},
    {"type": "object", "patternProperties": {"^x[0-9]$": YES}, "additionalProperties": False, "maxProperties": 2},
    record(score=whole(1, 5), 理由=text(8), 依据=many(record(来源=whole(1, 3), 原文=text(6)), 2)),
    record(a_very_long_name_that_the_model_never_saw=YES, **{"with space": YES, 'with"quote': YES, "表情🙂": YES}),
]  # fmt: skip
