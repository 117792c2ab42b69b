"""A tool in a program of its own, in whatever language: this one needs nothing but Python.

    [tools.count_words]
    command = ["python3", "examples/tool_process.py"]
    env = { STOP_WORDS = "the a" }

`callboard tools check` asks it how it is; `callboard tools call count_words '{"text": "so it is"}'` runs it.
"""

import json
import os
import sys

USAGE = {
    "schema": {
        "name": "count_words",
        "description": "Count the words of a text.",
        "parameters": {
            "type": "object",
            "properties": {"text": {"type": "string", "description": "any text"}},
            "required": ["text"],
            "additionalProperties": False,
        },
    },
    "env": {"STOP_WORDS": {"type": "string", "description": "words not to count", "default": ""}},
}

if "--usage" in sys.argv:
    answer: object = USAGE
elif "--health" in sys.argv:
    answer = {"status": True}
else:
    words = json.load(sys.stdin)["text"].split()
    left_out = os.environ["STOP_WORDS"].split()
    answer = {"words": len([word for word in words if word not in left_out])}
json.dump(answer, sys.stdout)
